import { IntegrityError, TidemarkError } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import { BODY_BYTES_MAX, BODY_LENGTH_BYTES } from './entry-codec.ts';
import {
  ENVELOPE_FRAME_BYTES,
  envelopeLength,
  HEADER_BYTES_MAX,
  type EnvelopeFormat,
} from './envelope.ts';

/** Largest object of a log: an entry with the longest header and body. */
const OBJECT_BYTES_MAX =
  ENVELOPE_FRAME_BYTES + HEADER_BYTES_MAX + BODY_LENGTH_BYTES + BODY_BYTES_MAX;

/**
 * Reads a whole object of a log.
 *
 * @returns `null` when it does not exist.
 * @throws IntegrityError `TM_LOG_FORMAT` when it is larger than any object of a log.
 */
export async function readWhole(
  store: ObjectStore,
  key: string,
  signal?: AbortSignal,
): Promise<Buffer | null> {
  return gather(store, { key, signal, enough: () => false, bytesMax: OBJECT_BYTES_MAX });
}

/**
 * Reads an object of a log up to the end of its envelope and `extraBytes` behind it, or to its end
 * if that comes first. The body of an entry is not fetched.
 *
 * @returns `null` when it does not exist.
 */
export async function readHead(
  store: ObjectStore,
  key: string,
  wanted: {
    readonly format: EnvelopeFormat;
    readonly extraBytes: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Buffer | null> {
  const { format, extraBytes, signal } = wanted;
  const bytesMax = Math.max(OBJECT_BYTES_MAX, format.headerBytesMax + ENVELOPE_FRAME_BYTES);
  const enough = (parts: readonly Uint8Array[], length: number): boolean => {
    const first = parts[0];
    if (first === undefined) return false;
    const head =
      first.length >= 16
        ? Buffer.from(first.buffer, first.byteOffset, first.length)
        : Buffer.concat(parts);
    const needed = envelopeLength(format, head);
    return needed !== null && length >= needed + extraBytes;
  };
  return gather(store, { key, signal, enough, bytesMax });
}

async function gather(
  store: ObjectStore,
  wanted: {
    readonly key: string;
    readonly signal: AbortSignal | undefined;
    readonly enough: (parts: readonly Uint8Array[], length: number) => boolean;
    readonly bytesMax: number;
  },
): Promise<Buffer | null> {
  const { key, signal, enough, bytesMax } = wanted;
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of store.get(key, signal === undefined ? {} : { signal })) {
      parts.push(part);
      length += part.length;
      if (length > bytesMax) {
        throw new IntegrityError('TM_LOG_FORMAT', 'an object of a log is too long', {
          context: { key, offset: bytesMax },
        });
      }
      if (enough(parts, length)) break;
    }
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'TM_STORE_MISSING') return null;
    throw error;
  }
  return Buffer.concat(parts, length);
}
