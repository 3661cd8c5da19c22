import {
  instanceLogPrefix,
  instancePrefix,
  instanceRecordKey,
  undoPrefix,
  wrappedKeyPrefix,
} from '@tidemark/archive';
import { eraseObject, type ObjectStore } from '@tidemark/store';

/**
 * Deletes what a destroyed instance has stored, every version of it. Its record and its own log stay: they
 * say who gave it up, and that its id is not free.
 * @returns How many objects there were.
 * @throws StoreError `TM_STORE_LOCKED` while the store holds one; it is done again then.
 */
export async function eraseObjects(
  instance: string,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<number> {
  const log = instanceLogPrefix(instance);
  const record = instanceRecordKey(instance);
  let objects = 0;
  for (const prefix of [
    instancePrefix(instance),
    undoPrefix(instance),
    wrappedKeyPrefix(instance),
  ]) {
    for await (const batch of store.list(prefix, { signal })) {
      for (const { key } of batch) {
        signal.throwIfAborted();
        if (key === record || key.startsWith(log)) continue;
        await eraseObject(store, key);
        objects += 1;
      }
    }
  }
  return objects;
}
