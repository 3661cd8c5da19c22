import { createHash } from 'node:crypto';

/** Partitions of the topic of writers. Fixed: another number would count instances otherwise. */
export const SLOTS = 64;

/** The slot of an instance: the first four bytes of the SHA-256 of its id, modulo 64. */
export function slotOf(instance: string): number {
  return createHash('sha256').update(instance, 'utf8').digest().readUInt32BE(0) % SLOTS;
}

/** The instances of one slot that a member has, told from other sets: how many, and a digest of their ids. */
export interface SlotSet {
  readonly count: number;
  /** Eight hex digits. */
  readonly digest: string;
}

/** What a member has in each of its slots. */
export function slotSets(instances: readonly string[]): ReadonlyMap<number, SlotSet> {
  const bySlot = new Map<number, string[]>();
  for (const instance of [...new Set(instances)].sort()) {
    const slot = slotOf(instance);
    bySlot.set(slot, [...(bySlot.get(slot) ?? []), instance]);
  }
  return new Map(
    [...bySlot].map(([slot, ids]) => {
      const digest = createHash('sha256').update(ids.join('\n'), 'utf8').digest('hex').slice(0, 8);
      return [slot, { count: ids.length, digest }];
    }),
  );
}
