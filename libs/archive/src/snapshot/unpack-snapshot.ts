import { type ByteSource } from '@tidemark/core';
import { formatError } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { readFrameHead, takePacked } from '../frames/frame-stream.ts';
import { FRAMES_END } from '../frames/sections.ts';
import { SourceCursor } from '../frames/source-cursor.ts';
import { FRAME_RAW_MAX, FrameUnpacker } from '../frames/zstd.ts';
import {
  addSnapshotFrame,
  readSnapshotFooter,
  SNAPSHOT_HEAD_BYTES_MAX,
  SNAPSHOT_INDEX_BYTES_MAX,
  SNAPSHOT_SUMMARY_BYTES_MAX,
  type SnapshotHead,
} from './snapshot-footer.ts';

/** Bytes that may follow the frames: the sections with room for table and trailer. */
const FOOTER_BYTES_MAX =
  SNAPSHOT_HEAD_BYTES_MAX + SNAPSHOT_INDEX_BYTES_MAX + SNAPSHOT_SUMMARY_BYTES_MAX + 65_536;

/** What a caller may ask of `unpackSnapshot`. */
export interface UnpackSnapshotOptions {
  /** What the snapshot must say of itself. */
  readonly expect?: { readonly timeline: string; readonly offset: bigint };
}

/**
 * Gives the RDB bytes of a snapshot, one chunk for each frame, in constant memory.
 *
 * Frames are given as they come; whether they are all is known at the end, where head, frame index
 * and trailer are held against what was read. The stream must not be taken for whole before it
 * ended without an error.
 * @param payload - The plain content.
 * @returns The number of bytes given and what the snapshot says of itself.
 * @throws FormatError `TM_SNAPSHOT_FORMAT` with the position in the payload.
 */
export async function* unpackSnapshot(
  payload: ByteSource,
  options: UnpackSnapshotOptions = {},
): AsyncGenerator<Uint8Array, SnapshotHead> {
  await using cursor = new SourceCursor(payload);
  const unpacker = new FrameUnpacker();
  const index = new ByteWriter(SNAPSHOT_INDEX_BYTES_MAX);
  let frames = 0;
  let rdbBytes = 0;
  for (;;) {
    const position = cursor.position;
    const head = await readFrameHead(cursor, 'snapshot');
    if (head.rawLength === 0) break;
    const packed = await takePacked(cursor, head, 'snapshot');
    const raw = Buffer.allocUnsafeSlow(head.rawLength);
    if (!unpacker.unpack(packed, raw)) {
      throw formatError('snapshot', 'a frame does not unpack', position);
    }
    addSnapshotFrame(index, head.packedLength, head.rawLength);
    if (index.overflowed) throw formatError('snapshot', 'too many frames', position);
    frames++;
    rdbBytes += head.rawLength;
    yield raw;
  }
  const read = { frames, rdbBytes, index: index.take() };
  return await checkFooter(cursor, read, options.expect);
}

async function checkFooter(
  cursor: SourceCursor,
  read: { frames: number; rdbBytes: number; index: Buffer },
  expect: UnpackSnapshotOptions['expect'],
): Promise<SnapshotHead> {
  const footerStart = cursor.position;
  const bytes = await takeRest(cursor);
  const framesEnd = footerStart - FRAMES_END.length;
  const footer = await readSnapshotFooter(
    (start, end) => Promise.resolve(bytes.subarray(start - footerStart, end - footerStart)),
    footerStart + bytes.length,
    // The footer's parts all lie in what was read, so positions before it are never asked for.
    footerStart,
  );
  const { head } = footer;
  const fail = (message: string): never => {
    throw formatError('snapshot', message, framesEnd);
  };
  if (footer.framesEnd !== framesEnd) fail(`the footer has the frames end at ${footer.framesEnd}`);
  if (head.frames !== read.frames || head.rdbBytes !== read.rdbBytes) {
    fail(
      `${read.frames} frames of ${read.rdbBytes} bytes, the head says ${head.frames} of ${head.rdbBytes}`,
    );
  }
  if (!(await footer.frameIndex()).equals(read.index)) fail('the frame index is of other frames');
  await footer.summary();
  if (
    expect !== undefined &&
    (expect.timeline !== head.timeline || expect.offset !== head.offset)
  ) {
    fail(`this is the snapshot of timeline ${head.timeline} at ${head.offset.toString()}`);
  }
  return head;
}

async function takeRest(cursor: SourceCursor): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    const part = await cursor.take(FRAME_RAW_MAX);
    length += part.length;
    if (length > FOOTER_BYTES_MAX) {
      throw formatError('snapshot', `a footer of over ${FOOTER_BYTES_MAX} bytes`, cursor.position);
    }
    parts.push(part);
    if (part.length < FRAME_RAW_MAX) return Buffer.concat(parts, length);
  }
}
