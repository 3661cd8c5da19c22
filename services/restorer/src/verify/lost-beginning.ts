import { instanceLogKey, instanceRecordKey } from '@tidemark/archive';
import { IntegrityError, StoreError } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import { takeInventory, type InstanceInventory } from './repo-inventory.ts';

/** The fault of an instance whose record is gone; null when it is there. */
export function lostRecord(inventory: InstanceInventory): StoreError | null {
  if (inventory.hasRecord) return null;
  const object = instanceRecordKey(inventory.iid);
  return new StoreError('TM_STORE_MISSING', `${object} is missing, other objects are there`, {
    context: { iid: inventory.iid, object },
    hint: 'the store has lost an object; restore it from a copy of the store',
  });
}

/**
 * Faults of writers that have objects but are not in the log of their instance.
 * @param log - What the log says; `nextSeq`: number of its first entry that is not there.
 */
export function lostWriters(
  inventory: InstanceInventory,
  log: {
    readonly nextSeq: number;
    readonly writers: readonly { readonly shard: string; readonly writer: string }[];
  },
): readonly IntegrityError[] {
  const missing = instanceLogKey(inventory.iid, log.nextSeq);
  const known = new Set(log.writers.map(({ shard, writer }) => `${shard}/${writer}`));
  const lost = [...inventory.writers].filter(([place]) => !known.has(place));
  return lost.map(
    ([place, object]) =>
      new IntegrityError(
        'TM_LOG_GAP',
        `${missing} is missing: no entry before it names writer ${place}, ${object} is there`,
        {
          context: { iid: inventory.iid, writer: place, later: object, object: missing },
          hint: 'the store has lost the end of this log; restore it from a copy of the store',
        },
      ),
  );
}

/**
 * Refuses an instance that seems to be unknown or empty, when objects of it are there.
 * @param nextSeq - Number of the first entry that its log does not have.
 * @throws StoreError `TM_STORE_MISSING`, IntegrityError `TM_LOG_GAP`.
 */
export async function refuseLostBeginning(
  iid: string,
  nextSeq: number,
  options: { readonly store: ObjectStore; readonly signal: AbortSignal },
): Promise<void> {
  const { store, signal } = options;
  const [inventory] = await takeInventory(store, { iid, signal });
  if (inventory === undefined) return;
  const record = lostRecord(inventory);
  if (record !== null) throw record;
  const [writer] = lostWriters(inventory, { nextSeq, writers: [] });
  if (writer !== undefined) throw writer;
}
