import { ByteReader } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';

/** What a log entry says of a segment; the segment's own head section says the same. */
export interface SegmentHeader {
  readonly timeline: string;
  /** Offset of the first byte. */
  readonly start: bigint;
  /** Offset after the last byte. */
  readonly end: bigint;
  /** Database selected at `start`. */
  readonly db: number;
  /** Highest database that a command of it reads, writes or selects; at least `db`. */
  readonly maxDb: number;
  /** Whether `start` lies between MULTI and EXEC. */
  readonly inMulti: boolean;
  /** Bytes of the command that `start` lies in which stand before `start`; 0 = none. */
  readonly partialBytes: number;
  /** Commands that end in this segment. */
  readonly commands: number;
  /** `end - start`. */
  readonly rawBytes: number;
  /** Earliest and latest second that its marks name; null = it has no marks. */
  readonly firstSecond: number | null;
  readonly lastSecond: number | null;
  readonly frames: number;
  /** A list of all keys, a filter for look-ups of single keys, or nothing. */
  readonly indexKind: 'keys' | 'filter' | 'none';
  /** Absent = as captured; 1 or more = merged from segments of lower levels (docs/levels.md). */
  readonly level?: number;
}

const INDEX_KINDS = ['none', 'keys', 'filter'] as const;
const TIMELINE_BYTES_MAX = 64;

/** Highest level of a merged segment that the format allows; far more than are written. */
const LEVEL_MAX = 255;

/** Upper bound of the head section, in bytes. */
export const HEAD_BYTES_MAX = 256;

/** @see docs/formats/segment.md, "Head" */
export function encodeHead(header: SegmentHeader): Buffer {
  const writer = new ByteWriter(HEAD_BYTES_MAX);
  writer.text(header.timeline);
  writer.u64(header.start);
  writer.u64(header.end);
  writer.signed(header.db);
  writer.signed(header.maxDb);
  writer.u8(header.inMulti ? 1 : 0);
  writer.varint(header.partialBytes);
  writer.varint(header.commands);
  writer.varint(header.firstSecond === null ? 0 : header.firstSecond + 1);
  writer.varint(header.lastSecond === null ? 0 : header.lastSecond + 1);
  writer.varint(header.frames);
  writer.u8(INDEX_KINDS.indexOf(header.indexKind));
  if (header.level !== undefined) writer.varint(header.level);
  return writer.take();
}

/** @throws FormatError `TM_SEGMENT_FORMAT`. */
export function decodeHead(bytes: Buffer): SegmentHeader {
  const reader = new ByteReader(bytes, 'segment', 'head');
  const timeline = reader.text(TIMELINE_BYTES_MAX);
  const start = reader.u64();
  const end = reader.u64();
  if (end < start || end - start > BigInt(Number.MAX_SAFE_INTEGER)) {
    reader.fail(`the end ${end.toString()} does not fit the start ${start.toString()}`);
  }
  const db = reader.signed();
  const maxDb = reader.signed();
  const inMulti = reader.count(1, 'inMulti') === 1;
  const partialBytes = reader.varint();
  const commands = reader.varint();
  const firstSecond = reader.varint();
  const lastSecond = reader.varint();
  const frames = reader.varint();
  const indexKind = INDEX_KINDS[reader.u8()] ?? reader.fail('a kind of index that is not known');
  // Captured segments end here, as they did before there were merged ones.
  const level = reader.left > 0 ? reader.count(LEVEL_MAX, 'level') : 0;
  if (reader.left > 0) reader.fail('bytes behind the level');
  return {
    timeline,
    start,
    end,
    db,
    maxDb,
    inMulti,
    partialBytes,
    commands,
    rawBytes: Number(end - start),
    firstSecond: firstSecond === 0 ? null : firstSecond - 1,
    lastSecond: lastSecond === 0 ? null : lastSecond - 1,
    frames,
    indexKind,
    ...(level > 0 && { level }),
  };
}
