import {
  frameCommands,
  readSegmentFooter,
  type OffsetRange,
  type SegmentFooter,
  type SegmentFrame,
} from '@tidemark/archive';
import {
  bytesOf,
  collectBytes,
  IntegrityError,
  nameObject,
  TidemarkError,
  type ByteSource,
} from '@tidemark/core';
import { openRange, parseSealedHeader, plainSizeOf, type DataKey } from '@tidemark/crypto';
import type { PlannedObject } from '../plan/restore-plan.ts';
import type { ObjectReader } from './object-reader.ts';

const HEAD_BYTES = 4_196;
const RANGE_BYTES_MAX = 512 * 1024 * 1024;

/** Up to this size one read of the whole object costs no more than reading its head and its end. */
const WHOLE_BYTES_MAX = 128 * 1024;

/** So many bytes from the end of an object are kept once they were read. */
const KEPT_BYTES_MAX = 1024 * 1024;

/** So many bytes of what was read last are kept: a chunk holds several sections. */
const LATEST_BYTES_MAX = 1024 * 1024;

/** Counts the sealed bytes that were fetched. */
export interface ReadCounter {
  bytes: number;
}

/** How the footer of a segment is read. */
export interface FooterReaderOptions {
  readonly reader: ObjectReader;
  readonly keyOf: (dekId: string) => Promise<DataKey>;
  /** Grows by what is fetched, of the footer and of frames later on. */
  readonly bytesRead?: ReadCounter;
}

/** An object of which ranges can be read. */
export interface OpenedObject {
  readonly object: PlannedObject;
  /** Bytes of the plain content. */
  readonly plainBytes: number;
  /**
   * Bytes `[start, end)` of the plain content, each chunk authenticated before it is yielded.
   * What lies within a log entry, or is at most 128 KiB, is held in memory, as are the chunks at the
   * end of anything larger once they were read: let it go when it is not needed any more.
   */
  readonly plain: (start: number, end: number) => ByteSource;
}

/** A segment whose footer is open; its frames can be read one by one. */
export interface OpenedSegment extends OpenedObject {
  readonly footer: SegmentFooter;
}

/**
 * Opens the footer of a segment by ranged reads. Its sections are fetched when they are asked for.
 * @throws IntegrityError `TM_SEAL_…`, FormatError `TM_SEGMENT_FORMAT`, StoreError; each names the
 *   object.
 */
export async function openFooter(
  object: PlannedObject,
  options: FooterReaderOptions,
): Promise<OpenedSegment> {
  try {
    const opened = await openPlain(object, options);
    const read = (start: number, end: number): Promise<Buffer> => collect(opened.plain(start, end));
    return { ...opened, footer: await readSegmentFooter(read, opened.plainBytes) };
  } catch (cause) {
    throw nameObject(cause, options.reader.nameOf(object));
  }
}

/**
 * Opens an object for reads of ranges of its plain content.
 * @throws IntegrityError `TM_SEAL_…`, StoreError.
 */
export async function openPlain(
  object: PlannedObject,
  options: FooterReaderOptions,
): Promise<OpenedObject> {
  const { reader, keyOf } = options;
  const sealed = await sealedReader(object, options);
  const size = object.ref.size;
  const headBytes = await collect(sealed(0, Math.min(size, HEAD_BYTES)));
  const header = parseSealedHeader(headBytes);
  if (typeof header === 'number') {
    throw new IntegrityError('TM_SEAL_TRUNCATED', 'an object ends within its header', {
      context: { object: reader.nameOf(object), size },
    });
  }
  const dataKey = await keyOf(object.ref.dekId);
  reader.proveHeader(object, header, dataKey);
  return {
    object,
    plainBytes: plainSizeOf(size, header),
    plain: (start, end) =>
      openRange({ read: sealed, header, dataKey, sealedSize: size, start, end }),
  };
}

/**
 * The raw command bytes of some frames that follow each other, by one ranged read.
 * @param frames - Of `opened.footer.frames()`; none gives no bytes.
 * @param range - Offsets within these frames; default: all of them.
 * @throws As `openFooter`.
 */
export async function* framesSource(
  opened: OpenedObject,
  frames: readonly SegmentFrame[],
  range: OffsetRange = {},
): ByteSource {
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined) return;
  try {
    const source = opened.plain(first.position, last.position + last.length);
    yield* frameCommands(source, frames, range);
  } catch (cause) {
    throw nameObject(cause, opened.object.ref.readKey);
  }
}

/** Bytes of an object from a position on. */
interface KeptRange {
  readonly from: number;
  readonly bytes: Buffer;
}

type SealedReader = (start: number, end: number) => ByteSource;

/**
 * Reads ranges of the sealed container, and counts what comes from the store. What was read up to its
 * end is kept, and what was read last: a chunk holds several sections.
 */
async function sealedReader(
  object: PlannedObject,
  { reader, bytesRead = { bytes: 0 } }: FooterReaderOptions,
): Promise<SealedReader> {
  const { key, size } = object.ref;
  if (key === null || size <= WHOLE_BYTES_MAX) {
    const whole = await collect(counted(reader.sealed(object), bytesRead));
    return (start, end) => bytesOf(whole.subarray(start, end));
  }
  const fetch: SealedReader = (start, end) =>
    counted(reader.sealedRange(object, start, end), bytesRead);
  let tail: KeptRange = { from: size, bytes: Buffer.alloc(0) };
  let latest: KeptRange = tail;
  return async function* read(start, end) {
    if (end === size && tail.from === size && end - start <= KEPT_BYTES_MAX) {
      tail = { from: start, bytes: await collect(fetch(start, end)) };
    }
    const tailFrom = Math.min(end, tail.from);
    if (start < tailFrom) {
      const isSmall = tailFrom - start <= LATEST_BYTES_MAX;
      if (isSmall && !covers(latest, start, tailFrom)) {
        latest = await goOn(latest, start, tailFrom, fetch);
      }
      if (covers(latest, start, tailFrom)) yield partOf(latest, start, tailFrom);
      else yield* fetch(start, tailFrom);
    }
    if (end > tail.from) yield partOf(tail, Math.max(start, tail.from), end);
  };
}

/** Fetches a range; where it goes on from what is kept, only what is missing, and both are kept. */
async function goOn(
  kept: KeptRange,
  start: number,
  end: number,
  fetch: SealedReader,
): Promise<KeptRange> {
  const keptEnd = kept.from + kept.bytes.length;
  const goesOn = start >= kept.from && start <= keptEnd && end - kept.from <= LATEST_BYTES_MAX;
  if (!goesOn) return { from: start, bytes: await collect(fetch(start, end)) };
  const more = await collect(fetch(keptEnd, end));
  return { from: kept.from, bytes: Buffer.concat([kept.bytes, more]) };
}

function covers({ from, bytes }: KeptRange, start: number, end: number): boolean {
  return start >= from && end <= from + bytes.length;
}

function partOf({ from, bytes }: KeptRange, start: number, end: number): Buffer {
  return bytes.subarray(start - from, end - from);
}

async function* counted(source: ByteSource, counter: ReadCounter): ByteSource {
  for await (const part of source) {
    counter.bytes += part.length;
    yield part;
  }
}

async function collect(source: ByteSource): Promise<Buffer> {
  return collectBytes(
    source,
    RANGE_BYTES_MAX,
    (bytes) => new TidemarkError('TM_LIMIT', 'a range is too long', { context: { bytes } }),
  );
}
