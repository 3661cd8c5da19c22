import { IntegrityError, UsageError, type ByteSource } from '@tidemark/core';
import { ChunkOpener } from './chunk-opener.ts';
import { TAG_BYTES, type ObjectKind } from './constants.ts';
import { truncated } from './digest.ts';
import type { SealedHeader } from './header.ts';
import type { Identity } from './identity.ts';
import { assertHeaderIs, keysOfHeader, type DataKey } from './key-schedule.ts';
import { plainSizeOf } from './sizes.ts';

/** What a ranged opening needs. */
export interface OpenRangeOptions {
  /** Sealed bytes of the object from `start` to `end` (exclusive). */
  readonly read: (start: number, end: number) => ByteSource;
  /** From `parseSealedHeader`; its commitment is checked again here. */
  readonly header: SealedHeader;
  readonly dataKey: DataKey;
  /** Size of the sealed object, from the log. */
  readonly sealedSize: number;
  /** First plain byte. */
  readonly start: number;
  /** Plain byte after the last. */
  readonly end: number;
  /** When given, kind and identity of the header are held against it first. */
  readonly expected?: { readonly kind: ObjectKind; readonly identity: Identity };
}

/**
 * Opens a range of plain bytes and reads only the chunks it touches.
 *
 * Each touched chunk must hold its tag; when the last one is touched it must also be the short
 * final chunk that the sealed size makes it. Other chunks are not looked at.
 * @throws IntegrityError `TM_SEAL_IDENTITY`, `TM_SEAL_COMMITMENT`, `TM_SEAL_CHUNK`,
 *   `TM_SEAL_TRUNCATED` (also for a range past the end); UsageError `TM_USAGE`.
 */
export async function* openRange(options: OpenRangeOptions): AsyncGenerator<Buffer> {
  const { header, start, end } = options;
  if (options.expected !== undefined) assertHeaderIs(header, options.expected);
  checkRange(options);
  const keys = keysOfHeader(header, options.dataKey);
  const chunkSize = 2 ** header.chunkLog2;
  const chunkBytes = chunkSize + TAG_BYTES;
  const first = Math.floor(start / chunkSize);
  const readStart = header.headerLength + first * chunkBytes;
  const chunksEnd = header.headerLength + Math.ceil(end / chunkSize) * chunkBytes;
  const readEnd = Math.min(options.sealedSize, chunksEnd);
  const chunks = new ChunkOpener({
    keys,
    chunkLog2: header.chunkLog2,
    first,
    offset: readStart,
    onTag: () => undefined,
  });
  try {
    if (start === end) return;
    const trim = new Trim(start - first * chunkSize, end - start);
    let position = readStart;
    for await (const bytes of options.read(readStart, readEnd)) {
      position += bytes.length;
      if (position > readEnd) throw surplus(readEnd);
      for (const plain of chunks.push(bytes)) yield* trim.take(plain);
    }
    if (position < readEnd) throw truncated(position);
    if (chunksEnd > readEnd) yield* trim.take(chunks.end());
  } finally {
    chunks.destroy();
  }
}

/** Cuts a stream of plain bytes down to what was asked for. */
class Trim {
  #skip: number;
  #left: number;

  constructor(skip: number, left: number) {
    this.#skip = skip;
    this.#left = left;
  }

  take(plain: Buffer): Buffer[] {
    const part = plain.subarray(this.#skip, this.#skip + this.#left);
    this.#skip = Math.max(0, this.#skip - plain.length);
    this.#left -= part.length;
    return part.length > 0 ? [part] : [];
  }
}

function checkRange({ header, sealedSize, start, end }: OpenRangeOptions): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new UsageError('TM_USAGE', `${start}..${end} is not a range of bytes`);
  }
  const plainSize = plainSizeOf(sealedSize, header);
  if (end <= plainSize) return;
  const message = `range end ${end} is past the object's ${plainSize} plain bytes`;
  throw new IntegrityError('TM_SEAL_TRUNCATED', message, { context: { end, plainSize } });
}

function surplus(offset: number): IntegrityError {
  return new IntegrityError('TM_SEAL_CHUNK', 'more bytes came than the range holds', {
    context: { offset },
  });
}
