import { StoreError, type ByteSource } from '@tidemark/core';
import { digestOf } from './digest-of.ts';
import type { ObjectStore, PutOptions } from './object-store.ts';

/**
 * Stores an object that something is going to name, and does so again after a crash or a fault: when
 * this returns, the store holds these bytes. Only where the key was taken are they read and compared,
 * every byte.
 * @param body - Gives the bytes; the same ones each time.
 * @throws StoreError `TM_STORE_DIFFERS` when other bytes lie there, which are left alone; as
 *   `ObjectStore.putIfAbsent` and `get`; the signal's reason.
 */
export async function putSame(
  store: ObjectStore,
  key: string,
  body: () => ByteSource,
  options: PutOptions = {},
): Promise<void> {
  if ((await store.putIfAbsent(key, body(), options)) === 'created') return;
  const there = await store.head(key);
  if (there === null) throw gone(key);
  const { size, digest } = await digestOf(body());
  if (there.size !== size) throw differs(key, size, there.size);
  const stored = await digestOf(store.get(key, options)).catch((cause: unknown) => {
    throw cause instanceof StoreError && cause.code === 'TM_STORE_MISSING' ? gone(key) : cause;
  });
  if (stored.digest !== digest) throw differs(key, size, stored.size);
}

/** Somebody took it away in between: the next try finds the key free. */
function gone(key: string): StoreError {
  return new StoreError('TM_STORE_IO', 'an object exists and cannot be read', { context: { key } });
}

function differs(key: string, size: number, stored: number): StoreError {
  return new StoreError('TM_STORE_DIFFERS', `the store holds other bytes at ${key}`, {
    context: { key, size, stored },
    hint: 'nothing names that object: once it is taken out of the store, the right bytes are put there',
  });
}
