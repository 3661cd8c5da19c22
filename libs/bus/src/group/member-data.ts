import type { Applicant } from './share-out.ts';
import { SLOTS } from './slots.ts';

/** What a member says of itself to the one who shares out. */
export type MemberData = Omit<Applicant, 'id'>;

/** A member says no more than this of itself. */
const BYTES_MAX = 4_096;

/** Slots of a member, for the one who shares out. */
export function encodeMemberData({ held, able, proven }: MemberData): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, held, able, proven }), 'utf8');
}

/** What another member said; one that cannot be read is able to do nothing. */
export function decodeMemberData(bytes: Uint8Array): MemberData {
  const nothing = { held: [], able: [], proven: [] };
  if (bytes.length > BYTES_MAX) return nothing;
  try {
    const { v, held, able, proven } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<
      string,
      unknown
    >;
    if (v !== 1 || !isSlots(held) || !isSlots(able)) return nothing;
    // An earlier release says nothing of it.
    return { held, able, proven: isSlots(proven) ? proven : [] };
  } catch {
    return nothing;
  }
}

function isSlots(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= SLOTS &&
    value.every((each) => Number.isInteger(each) && each >= 0 && each < SLOTS)
  );
}
