import type { Applicant } from './share-out.ts';
import { SLOTS, type SlotSet } from './slots.ts';

/** What a member says of itself to the one who shares out. */
export type MemberData = Omit<Applicant, 'id'>;

/** A member says no more than this of itself. */
const BYTES_MAX = 4_096;

/** Slots of a member, for the one who shares out. */
export function encodeMemberData({ held, able, proven, sets }: MemberData): Buffer {
  const told = sets && {
    sets: [...sets].map(([slot, { count, digest }]) => [slot, count, digest]),
  };
  return Buffer.from(JSON.stringify({ v: 1, held, able, proven, ...told }), 'utf8');
}

/** What another member said; one that cannot be read is able to do nothing. */
export function decodeMemberData(bytes: Uint8Array): MemberData {
  const nothing = { held: [], able: [], proven: [] };
  if (bytes.length > BYTES_MAX) return nothing;
  try {
    const { v, held, able, proven, sets } = JSON.parse(
      Buffer.from(bytes).toString('utf8'),
    ) as Record<string, unknown>;
    if (v !== 1 || !isSlots(held) || !isSlots(able)) return nothing;
    // An earlier release says nothing of it.
    const known = setsOf(sets);
    return { held, able, proven: isSlots(proven) ? proven : [], ...(known && { sets: known }) };
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

/** @returns Null for what is not well formed, and from an earlier release, which says nothing of it. */
function setsOf(value: unknown): ReadonlyMap<number, SlotSet> | null {
  if (!Array.isArray(value) || value.length > SLOTS) return null;
  const sets = new Map<number, SlotSet>();
  for (const each of value as readonly unknown[]) {
    if (!Array.isArray(each)) return null;
    const [slot, count, digest] = each as readonly unknown[];
    if (!isSlots([slot]) || typeof count !== 'number' || !Number.isSafeInteger(count)) return null;
    if (typeof digest !== 'string' || !/^[0-9a-f]{8}$/.test(digest)) return null;
    sets.set(slot as number, { count, digest });
  }
  return sets;
}
