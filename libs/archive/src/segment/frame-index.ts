import { ByteReader } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { FRAME_HEAD_BYTES, FRAME_PACKED_MAX, FRAME_RAW_MAX } from '../frames/zstd.ts';
import { type SegmentHeader } from './header.ts';

/** Upper bound of the content of a frame index, in bytes. */
export const FRAME_INDEX_BYTES_MAX = 16 * 1_048_576;

const FLAG_MULTI = 1;
const FLAG_REST = 2;

/** One frame of a segment and the state of the command stream at its first byte. */
export interface SegmentFrame {
  /** Where the frame's head lies in the payload. */
  readonly position: number;
  /** Bytes of the frame in the payload, its head included. */
  readonly length: number;
  /** Offset of its first raw byte. */
  readonly start: bigint;
  readonly rawLength: number;
  readonly db: number;
  readonly inMulti: boolean;
  /** Bytes of the command that `start` lies in which stand before `start`. */
  readonly partialBytes: number;
  /**
   * Bytes of that command from `start` on: after them the next one begins, in database `db`. 0 when
   * `partialBytes` is 0, and when it is not known.
   */
  readonly restBytes: number;
}

/** State at the first byte of a frame, as the builder notes it. */
export interface FrameState {
  readonly db: number;
  readonly inMulti: boolean;
  readonly partialBytes: number;
  readonly restBytes: number;
}

/** Lengths of a frame in bytes; `length` with its head. */
export interface FrameLengths {
  readonly length: number;
  readonly rawLength: number;
}

/** @see docs/formats/segment.md, "Frame index" */
export function encodeFrameIndex(
  frames: readonly FrameLengths[],
  states: readonly FrameState[],
): Buffer {
  const writer = new ByteWriter(FRAME_INDEX_BYTES_MAX, frames.length * 8 + 16);
  for (const [i, frame] of frames.entries()) {
    const state = states[i] ?? { db: 0, inMulti: false, partialBytes: 0, restBytes: 0 };
    writer.varint(frame.length - FRAME_HEAD_BYTES);
    writer.varint(frame.rawLength);
    writer.signed(state.db);
    writer.u8((state.inMulti ? FLAG_MULTI : 0) | (state.restBytes > 0 ? FLAG_REST : 0));
    writer.varint(state.partialBytes);
    if (state.restBytes > 0) writer.varint(state.restBytes);
  }
  return writer.take();
}

/**
 * @param framesEnd - Position after the last frame.
 * @throws FormatError `TM_SEGMENT_FORMAT` when it does not fit the header or the frames' place.
 */
export function decodeFrameIndex(
  bytes: Buffer,
  header: SegmentHeader,
  framesEnd: number,
): readonly SegmentFrame[] {
  const reader = new ByteReader(bytes, 'segment', 'frame index');
  const frames: SegmentFrame[] = [];
  let position = 0;
  let raw = 0;
  while (reader.left > 0) {
    const length = reader.count(FRAME_PACKED_MAX, 'packed length') + FRAME_HEAD_BYTES;
    const rawLength = reader.count(FRAME_RAW_MAX, 'raw length');
    if (rawLength === 0) reader.fail('an empty frame');
    const db = reader.signed();
    const flags = reader.count(FLAG_MULTI | FLAG_REST, 'flags');
    const inMulti = (flags & FLAG_MULTI) !== 0;
    const partialBytes = reader.varint();
    const restBytes = (flags & FLAG_REST) === 0 ? 0 : reader.varint();
    const start = header.start + BigInt(raw);
    frames.push({ position, length, start, rawLength, db, inMulti, partialBytes, restBytes });
    position += length;
    raw += rawLength;
  }
  if (frames.length !== header.frames || raw !== header.rawBytes || position !== framesEnd) {
    reader.fail(
      `${frames.length} frames of ${raw} bytes up to ${position}, ` +
        `not ${header.frames} of ${header.rawBytes} up to ${framesEnd}`,
    );
  }
  return frames;
}
