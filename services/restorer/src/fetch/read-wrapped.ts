import { collectBytes, KeyError } from '@tidemark/core';
import { parseWrappedDataKey, type WrappedDataKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';

const WRAPPED_BYTES_MAX = 64 * 1024;

/**
 * Reads a wrapped data key.
 * @throws StoreError `TM_STORE_MISSING`; KeyError `TM_KEY_WRONG` when it is too long; FormatError
 *   `TM_KEY_FORMAT`.
 */
export async function readWrapped(path: string, store: ObjectStore): Promise<WrappedDataKey> {
  const tooLong = (): Error => new KeyError('TM_KEY_WRONG', 'a wrapped key is too long');
  return parseWrappedDataKey(await collectBytes(store.get(path), WRAPPED_BYTES_MAX, tooLong));
}
