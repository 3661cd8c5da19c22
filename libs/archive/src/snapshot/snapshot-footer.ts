import { type RdbSummary } from '@tidemark/rdb';
import { ByteReader, formatError } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { readObjectTail, type ObjectTail, type RangeReader } from '../frames/object-tail.ts';
import { FRAME_HEAD_BYTES, FRAME_PACKED_MAX, FRAME_RAW_MAX } from '../frames/zstd.ts';

/** Types of the sections of a snapshot; the numbers are the format's. */
export const SNAPSHOT_SECTION = { head: 1, frames: 2, summary: 3 } as const;

/** Upper bounds of the sections' contents, in bytes. 32 MiB of frame index are 5 TiB of RDB. */
export const SNAPSHOT_HEAD_BYTES_MAX = 256;
export const SNAPSHOT_INDEX_BYTES_MAX = 32 * 1_048_576;
export const SNAPSHOT_SUMMARY_BYTES_MAX = 4 * 1_048_576;
const TIMELINE_BYTES_MAX = 64;

/** What a snapshot says of itself. */
export interface SnapshotHead {
  readonly timeline: string;
  /** The dataset is the one at exactly this offset. */
  readonly offset: bigint;
  /** Bytes of the RDB. */
  readonly rdbBytes: number;
  readonly frames: number;
}

/** One frame of a snapshot. */
export interface SnapshotFrame {
  /** Where the frame's head lies in the payload. */
  readonly position: number;
  /** Bytes of the frame in the payload, its head included. */
  readonly length: number;
  /** Position of its first byte in the RDB. */
  readonly start: number;
  readonly rawLength: number;
}

/** @see docs/formats/snapshot.md, "Head" */
export function encodeSnapshotHead(head: SnapshotHead): Buffer {
  const writer = new ByteWriter(SNAPSHOT_HEAD_BYTES_MAX);
  writer.text(head.timeline);
  writer.u64(head.offset);
  writer.varint(head.rdbBytes);
  writer.varint(head.frames);
  return writer.take();
}

/** @throws FormatError `TM_SNAPSHOT_FORMAT`. */
function decodeSnapshotHead(bytes: Buffer): SnapshotHead {
  const reader = new ByteReader(bytes, 'snapshot', 'head');
  const timeline = reader.text(TIMELINE_BYTES_MAX);
  const offset = reader.u64();
  const rdbBytes = reader.varint();
  const frames = reader.varint();
  reader.end();
  return { timeline, offset, rdbBytes, frames };
}

/** Adds a frame to the frame index: its packed and its raw length. */
export function addSnapshotFrame(index: ByteWriter, packedLength: number, rawLength: number): void {
  index.varint(packedLength);
  index.varint(rawLength);
}

/** The footer of a snapshot; parts are fetched when they are asked for. */
export class SnapshotFooter {
  readonly head: SnapshotHead;
  readonly #tail: ObjectTail;

  constructor(head: SnapshotHead, tail: ObjectTail) {
    this.head = head;
    this.#tail = tail;
  }

  /** Position after the last frame. */
  get framesEnd(): number {
    return this.#tail.framesEnd;
  }

  /** The frame index as it is stored. */
  frameIndex(): Promise<Buffer> {
    return this.#tail.section(SNAPSHOT_SECTION.frames, SNAPSHOT_INDEX_BYTES_MAX);
  }

  /** Where each frame lies; about 100 bytes of memory for each MiB of RDB. */
  async frames(): Promise<readonly SnapshotFrame[]> {
    const reader = new ByteReader(await this.frameIndex(), 'snapshot', 'frame index');
    const frames: SnapshotFrame[] = [];
    let position = 0;
    let start = 0;
    while (reader.left > 0) {
      const length = reader.count(FRAME_PACKED_MAX, 'packed length') + FRAME_HEAD_BYTES;
      const rawLength = reader.count(FRAME_RAW_MAX, 'raw length');
      frames.push({ position, length, start, rawLength });
      position += length;
      start += rawLength;
    }
    const { head } = this;
    if (frames.length !== head.frames || start !== head.rdbBytes || position !== this.framesEnd) {
      reader.fail(`${frames.length} frames of ${start} bytes do not fit the head`);
    }
    return frames;
  }

  /** What the RDB holds. */
  async summary(): Promise<RdbSummary> {
    const bytes = await this.#tail.section(SNAPSHOT_SECTION.summary, SNAPSHOT_SUMMARY_BYTES_MAX);
    const summary = parseSummary(bytes, this.framesEnd);
    if (summary.bytes !== this.head.rdbBytes) {
      const message = `the summary is of an RDB of ${summary.bytes} bytes, not ${this.head.rdbBytes}`;
      throw formatError('snapshot', message, this.framesEnd);
    }
    return summary;
  }
}

/**
 * Reads the footer of a snapshot, usually with one ranged read from the end.
 * @param read - Reads ranges of the plain content.
 * @param payloadSize - Bytes of the plain content.
 * @param readable - First position that `read` can give. Default 0.
 * @throws FormatError `TM_SNAPSHOT_FORMAT`.
 */
export async function readSnapshotFooter(
  read: RangeReader,
  payloadSize: number,
  readable = 0,
): Promise<SnapshotFooter> {
  const tail = await readObjectTail(read, payloadSize, 'snapshot', readable);
  const head = await tail.section(SNAPSHOT_SECTION.head, SNAPSHOT_HEAD_BYTES_MAX);
  return new SnapshotFooter(decodeSnapshotHead(head), tail);
}

function parseSummary(bytes: Buffer, position: number): RdbSummary {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    value = null;
  }
  if (!isSummary(value)) {
    throw formatError('snapshot', 'the summary is not one', position);
  }
  return value;
}

function isSummary(value: unknown): value is RdbSummary {
  if (typeof value !== 'object' || value === null) return false;
  const { product, version, bytes, keys, aux, types } = value as Record<string, unknown>;
  const numbers = [version, bytes, keys].every((one) => Number.isSafeInteger(one));
  const objects = [aux, types].every((one) => typeof one === 'object' && one !== null);
  return numbers && objects && (product === 'redis' || product === 'valkey');
}
