import { bytesOf, StoreError } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import { readWhole } from './read-object.ts';
import { retrying, type RetryPorts } from './retry.ts';

/**
 * Creates an object of a log under a key that must be free.
 *
 * A put whose outcome is unknown is repeated with the same bytes: if they are found there, it was
 * ours.
 * @returns `null` when the object holds these bytes; else what lies there instead.
 * @throws StoreError `TM_STORE_IO` after the last try: the object may or may not come to be.
 */
export async function createOnce(
  store: ObjectStore,
  object: { readonly key: string; readonly bytes: Buffer },
  ports: RetryPorts,
): Promise<Buffer | null> {
  const { key, bytes } = object;
  const { signal } = ports;
  const options = signal === undefined ? {} : { signal };
  return retrying(ports, async () => {
    const outcome = await store.putIfAbsent(key, bytesOf(bytes), options);
    if (outcome === 'created') return null;
    const existing = await readWhole(store, key, signal);
    if (existing === null) {
      throw new StoreError('TM_STORE_IO', 'an object exists and cannot be read', {
        context: { key },
      });
    }
    return existing.equals(bytes) ? null : existing;
  });
}
