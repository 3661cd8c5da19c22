import type { Applicant } from './share-out.ts';
import { SLOTS } from './slots.ts';

/** A member says no more than this of itself. */
const BYTES_MAX = 4_096;

/** Slots of a member, for the one who shares out. */
export function encodeMemberData(data: Pick<Applicant, 'held' | 'able'>): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, held: data.held, able: data.able }), 'utf8');
}

/** What another member said; one that cannot be read is able to do nothing. */
export function decodeMemberData(bytes: Uint8Array): Pick<Applicant, 'held' | 'able'> {
  const nothing = { held: [], able: [] };
  if (bytes.length > BYTES_MAX) return nothing;
  try {
    const { v, held, able } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<
      string,
      unknown
    >;
    return v === 1 && isSlots(held) && isSlots(able) ? { held, able } : nothing;
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
