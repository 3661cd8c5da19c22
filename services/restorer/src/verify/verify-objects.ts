import { IntegrityError, nameObject, StoreError } from '@tidemark/core';
import { parseSealedHeader, type DataKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { PlannedObject } from '../plan/restore-plan.ts';

/** Each takes a few MiB while it is read whole. */
const PARALLEL = 4;
/** Longest header of the container: 100 bytes and an identity of at most 4,096. */
const HEAD_BYTES = 4_196;

/** What verification looks with. */
export interface VerifyOptions {
  readonly store: ObjectStore;
  readonly reader: ObjectReader;
  readonly keyOf: (dekId: string) => DataKey;
  readonly signal: AbortSignal;
  readonly onProgress?: (objects: number, bytes: number) => void;
}

/**
 * Verifies the objects of a plan before the target is touched.
 * @param depth - `stream`: existence, size, header, identity and key of each (chunks are
 *   authenticated later, before they are sent); `full`: every byte.
 * @returns Sealed bytes that were read.
 * @throws IntegrityError or StoreError that names the object.
 */
export async function verifyObjects(
  objects: readonly PlannedObject[],
  depth: 'stream' | 'full',
  options: VerifyOptions,
): Promise<number> {
  let next = 0;
  let done = 0;
  let bytes = 0;
  const work = async (): Promise<void> => {
    for (let object = objects[next++]; object !== undefined; object = objects[next++]) {
      options.signal.throwIfAborted();
      const verify = depth === 'full' ? verifyWhole : verifyHead;
      // Not `bytes += await …`: that would add to what it was before the others went on.
      const read = await naming(object, options, () => verify(object, options));
      bytes += read;
      done += 1;
      options.onProgress?.(done, bytes);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, objects.length) }, work));
  return bytes;
}

async function verifyHead(object: PlannedObject, options: VerifyOptions): Promise<number> {
  const { key, size } = object.ref;
  if (key !== null) {
    const found = await options.store.head(key);
    if (found === null) throw new StoreError('TM_STORE_MISSING', `${key} is missing`);
    if (found.size !== size) {
      throw new IntegrityError(
        'TM_SEAL_TRUNCATED',
        'an object has another size than the log says',
        {
          context: { found: found.size, size },
        },
      );
    }
  }
  const end = Math.min(size, HEAD_BYTES);
  const parts: Uint8Array[] = [];
  for await (const part of options.reader.sealed(object, end)) parts.push(part);
  const header = parseSealedHeader(Buffer.concat(parts));
  if (typeof header === 'number') {
    throw new IntegrityError('TM_SEAL_TRUNCATED', 'an object ends within its header', {
      context: { size, needed: header },
    });
  }
  options.reader.proveHeader(object, header, options.keyOf(object.ref.dekId));
  return end;
}

async function verifyWhole(object: PlannedObject, options: VerifyOptions): Promise<number> {
  const opener = options.reader.openerFor(object);
  let bytes = 0;
  try {
    for await (const part of options.reader.sealed(object)) {
      opener.push(part);
      bytes += part.length;
    }
    opener.end();
    options.reader.checkDigest(object, opener.digest());
  } finally {
    opener.destroy();
  }
  await checkStoredSize(object, options.store);
  return bytes;
}

/**
 * Proves that nothing follows an object where it lies.
 * @throws IntegrityError `TM_SEAL_TRUNCATED`; StoreError.
 */
export async function checkStoredSize(object: PlannedObject, store: ObjectStore): Promise<void> {
  const { key, size } = object.ref;
  if (key === null) return;
  const found = await store.head(key);
  if (found?.size === size) return;
  throw new IntegrityError('TM_SEAL_TRUNCATED', 'an object has another size than the log says', {
    context: { found: found?.size ?? null, size },
  });
}

/** Adds the name of the object to what is thrown: the operator must know which one. */
async function naming<T>(
  object: PlannedObject,
  options: VerifyOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw nameObject(cause, options.reader.nameOf(object));
  }
}
