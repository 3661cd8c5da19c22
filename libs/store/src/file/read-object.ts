import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { StoreError } from '@tidemark/core';
import type { GetOptions } from '../object-store.ts';
import { errnoOf, storeError } from './fs-errors.ts';

const CHUNK_BYTES = 512 * 1024;

/** Opens an object for reading; a symbolic link is not followed. */
async function openObject(path: string, key: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') throw missing(key);
    throw storeError('open', key, cause);
  }
}

/** The error for an object that is not there. */
export function missing(key: string): StoreError {
  return new StoreError('TM_STORE_MISSING', 'an object is not in the store', { context: { key } });
}

/**
 * Reads a range of an object in chunks of 512 KiB; the next chunk is read while the consumer works
 * on this one. Every chunk is a buffer of its own.
 *
 * @throws StoreError as `ObjectStore.get` says.
 */
export async function* readObject(
  path: string,
  key: string,
  options: GetOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { signal } = options;
  signal?.throwIfAborted();
  const handle = await openObject(path, key);
  let ahead: Promise<Buffer> | null = null;
  try {
    const { start, end } = await rangeOf(handle, key, options);
    const readAt = (position: number): Promise<Buffer> | null => {
      if (position >= end) return null;
      const reading = readFully(handle, key, { start: position, end });
      reading.catch(() => undefined); // looked at when it is its turn
      return reading;
    };
    let position = start;
    ahead = readAt(position);
    while (ahead !== null) {
      const chunk: Buffer = await ahead;
      signal?.throwIfAborted();
      position += chunk.length;
      ahead = readAt(position);
      yield chunk;
      signal?.throwIfAborted();
    }
  } finally {
    await ahead?.catch(() => undefined);
    await handle.close();
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

async function rangeOf(handle: FileHandle, key: string, options: GetOptions): Promise<Range> {
  let size: number;
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw missing(key);
    size = facts.size;
  } catch (cause) {
    throw storeError('look at', key, cause);
  }
  const { start = 0, end = size } = options;
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!whole || start < 0 || end < start || end > size) throw shortRange(key, { start, end }, size);
  return { start, end };
}

function shortRange(key: string, range: Range, size: number): StoreError {
  return new StoreError('TM_STORE_RANGE', 'a range does not lie within the object', {
    context: { key, start: range.start, end: range.end, size },
  });
}

async function readFully(handle: FileHandle, key: string, range: Range): Promise<Buffer> {
  const length = Math.min(CHUNK_BYTES, range.end - range.start);
  const chunk = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(chunk, done, length - done, range.start + done));
    } catch (cause) {
      throw storeError('read', key, cause);
    }
    // The object was whole when it was opened: somebody cut it.
    if (bytesRead === 0) throw shortRange(key, range, range.start + done);
    done += bytesRead;
  }
  return chunk;
}
