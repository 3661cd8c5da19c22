import { objectIdentity, tdeCanaryKey, wrappedKeyKey } from '@tidemark/archive';
import { bytesOf, IntegrityError, KeyError, TidemarkError, type Random } from '@tidemark/core';
import {
  COMPRESSION,
  encodeWrappedDataKey,
  isSameKey,
  OBJECT_KIND,
  openBytes,
  parseWrappedDataKey,
  sealBytes,
  wipeDataKey,
  type Identity,
  type KeyContext,
  type KeyProvider,
  type WrappedDataKey,
  type WrappingKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { readWhole } from '../log/read-object.ts';

const CANARY_BYTES = 64;

/** What a canary is made with. */
export interface CanaryPorts {
  readonly store: ObjectStore;
  /** Its directory already names the wanted key for this instance. */
  readonly keys: Pick<KeyProvider, 'generateDataKey' | 'unwrapDataKey'>;
  readonly random: Random;
  readonly signal?: AbortSignal;
}

/**
 * Proves that a key seals and opens what an instance stores: a random text is sealed under a fresh
 * data key, stored with the wrapped key, read back, unwrapped and opened. Both objects are removed
 * when it held; a process that is killed may leave them, which harms nothing.
 *
 * @throws KeyError as `generateDataKey` and `unwrapDataKey`, `TM_KEY_WRONG` when another key wrapped
 *   it; StoreError; IntegrityError when the store gives back other bytes.
 */
export async function sealCanary(
  iid: string,
  wanted: WrappingKey,
  ports: CanaryPorts,
): Promise<void> {
  const { store, keys, random, signal } = ports;
  const options = signal === undefined ? {} : { signal };
  const { dataKey, wrapped } = await keys.generateDataKey({ instance: iid, purpose: 'canary' });
  const keyPath = wrappedKeyKey(iid, dataKey.id, 1);
  const path = tdeCanaryKey(iid, dataKey.id);
  const identity = canaryIdentity(iid, path);
  const plain = random.bytes(CANARY_BYTES);
  let sealed: Buffer;
  try {
    if (!isSameKey(wrapped, wanted)) throw otherKey(wrapped, wanted);
    sealed = sealBytes(plain, {
      ...{ dataKey, kind: OBJECT_KIND.canary, compression: COMPRESSION.none },
      ...{ identity, random },
    }).bytes;
  } finally {
    wipeDataKey(dataKey);
  }
  await store.putIfAbsent(keyPath, bytesOf(encodeWrappedDataKey(wrapped)), options);
  await store.putIfAbsent(path, bytesOf(sealed), options);
  const opened = await openCanary({ iid, dekId: dataKey.id, path, keyPath, identity }, ports);
  if (!opened.equals(plain)) {
    throw new IntegrityError('TM_SEAL_DIGEST', 'the canary does not open to what was sealed', {
      context: { object: path },
    });
  }
  for (const key of [path, keyPath]) await removeQuietly(store, key);
}

async function openCanary(
  canary: {
    readonly iid: string;
    readonly dekId: string;
    readonly path: string;
    readonly keyPath: string;
    readonly identity: Identity;
  },
  { store, keys, signal }: CanaryPorts,
): Promise<Buffer> {
  const { iid, dekId, path, keyPath, identity } = canary;
  const [keyBytes, sealed] = [
    await readWhole(store, keyPath, signal),
    await readWhole(store, path, signal),
  ];
  if (keyBytes === null || sealed === null) {
    const object = keyBytes === null ? keyPath : path;
    throw new IntegrityError('TM_STORE_MISSING', 'the store does not give back the canary', {
      context: { object },
    });
  }
  const context: KeyContext = { instance: iid, purpose: 'canary', dekId };
  const dataKey = await keys.unwrapDataKey(parseWrappedDataKey(keyBytes), context);
  try {
    return openBytes(sealed, { keyOf: () => dataKey, kind: OBJECT_KIND.canary, identity });
  } finally {
    wipeDataKey(dataKey);
  }
}

function canaryIdentity(iid: string, key: string): Identity {
  const kind = OBJECT_KIND.canary;
  return objectIdentity({ iid, writer: 'tde', timeline: 'canary', start: 0n, kind, key });
}

function otherKey(wrapped: WrappedDataKey, wanted: WrappingKey): KeyError {
  return new KeyError('TM_KEY_WRONG', 'the data key of the canary was wrapped by another key', {
    context: { keyId: wrapped.keyId, expected: wanted.keyId },
  });
}

/** It is proven already; a store that keeps everything, or is away now, takes nothing from that. */
async function removeQuietly(store: ObjectStore, key: string): Promise<void> {
  await store.delete(key).catch((cause: unknown) => {
    if (!(cause instanceof TidemarkError)) throw cause;
  });
}
