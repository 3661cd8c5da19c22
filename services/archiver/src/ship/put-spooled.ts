import type { ObjectRef } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { SealedDigest } from '@tidemark/crypto';
import { putSame, type ObjectStore } from '@tidemark/store';
import type { DataKeys } from './data-keys.ts';
import { retrying, type RetryOptions } from './retry.ts';
import { INLINE_BYTES_MAX, type AppendEvent } from './segment-shipper.ts';
import { decodeSpoolNote, type SpoolNote } from './spool-note.ts';
import type { Spool } from './spool.ts';

/** What bringing entries of a spool into the store works with. */
export interface PutOptions extends RetryOptions {
  readonly store: ObjectStore;
  readonly dataKeys: Pick<DataKeys, 'store'>;
  readonly spool: Spool;
  readonly append: AppendEvent;
}

/** An entry of the spool whose bytes are those that its note names. */
export interface SpooledEntry extends SpoolNote {
  readonly name: string;
}

/**
 * Reads the note of an entry and holds its object against it.
 * @returns Null when the disk lost or changed either.
 */
export async function readSpooled(spool: Spool, name: string): Promise<SpooledEntry | null> {
  const text = await spool.readNote(name);
  const note = text === null ? null : decodeSpoolNote(text);
  if (note === null) return null;
  const whole = !('object' in note.event) || (await isWhole(spool, name, note.event.object));
  return whole ? { name, ...note } : null;
}

/**
 * Other bytes at a key of ours, as a put that was cut short leaves them: what is sealed is bound to
 * its key and cannot go elsewhere. It stays in the spool, and `status` says why, until they are
 * taken away.
 */
const FOREIGN: readonly string[] = ['TM_STORE_DIFFERS'];

/**
 * Brings the wrapped data key of an entry into the store, then its object (I3).
 * @returns The body of its log entry, when the object is that.
 * When it returns the store holds those bytes, whoever put them there.
 * @throws Faults that pass, and `TM_STORE_DIFFERS`, are retried until the signal is aborted;
 *   StoreError.
 */
export async function putSpooled(
  { name, event, wrapped }: SpooledEntry,
  options: PutOptions,
): Promise<Uint8Array | undefined> {
  if (!('object' in event)) return undefined;
  const { store, spool, signal, dataKeys } = options;
  const { key, dekId, size } = event.object;
  if (wrapped !== null) await retrying(options, () => dataKeys.store(dekId, wrapped), FOREIGN);
  if (key === null) return bodyOf(spool, name, size);
  // Where spool and store share a file system, no byte is read and written again for it.
  const file = spool.fileOf(name);
  const put = (): Promise<void> => putSame(store, key, () => spool.read(name), { signal, file });
  await retrying(options, put, FOREIGN);
  return undefined;
}

async function bodyOf(spool: Spool, name: string, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of spool.read(name)) {
    bytes += part.length;
    if (bytes > Math.min(size, INLINE_BYTES_MAX)) {
      throw new TidemarkError('TM_INTERNAL', 'a spooled body is longer than a body may be');
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function isWhole(spool: Spool, name: string, object: ObjectRef): Promise<boolean> {
  const digest = new SealedDigest();
  try {
    for await (const part of spool.read(name, true)) digest.push(part);
    return digest.end() === object.digest;
  } catch (cause) {
    // No sealed object any more, or one that cannot be read.
    if (cause instanceof TidemarkError) return false;
    if (cause instanceof Error && 'syscall' in cause) return false;
    throw cause;
  }
}
