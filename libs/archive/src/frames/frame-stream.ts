import { formatError, type ArchiveFormat } from './byte-reader.ts';
import type { SourceCursor } from './source-cursor.ts';
import { FRAME_HEAD_BYTES, FRAME_PACKED_MAX, FRAME_RAW_MAX } from './zstd.ts';

/** The head of a frame: lengths in bytes. Both 0 = the end of the frames. */
export interface FrameHead {
  readonly rawLength: number;
  readonly packedLength: number;
}

/**
 * Reads and checks the next frame head.
 * @throws FormatError `TM_SEGMENT_FORMAT` or `TM_SNAPSHOT_FORMAT` with the head's position.
 */
export async function readFrameHead(
  cursor: SourceCursor,
  format: ArchiveFormat,
): Promise<FrameHead> {
  const position = cursor.position;
  const head = await cursor.take(FRAME_HEAD_BYTES);
  if (head.length < FRAME_HEAD_BYTES) {
    throw formatError(format, `the object ends within a frame head`, position + head.length);
  }
  return parseFrameHead(head, 0, format, position);
}

/** Checks the frame head at `at`; `position` is where it lies in the object, for errors. */
export function parseFrameHead(
  bytes: Buffer,
  at: number,
  format: ArchiveFormat,
  position: number,
): FrameHead {
  const rawLength = bytes.readUInt32BE(at);
  const packedLength = bytes.readUInt32BE(at + 4);
  if (rawLength === 0 && packedLength === 0) return { rawLength, packedLength };
  if (rawLength === 0 || rawLength > FRAME_RAW_MAX) {
    const message = `a frame's raw length ${rawLength} is not in 1..${FRAME_RAW_MAX}`;
    throw formatError(format, message, position, { rawLength });
  }
  if (packedLength === 0 || packedLength > FRAME_PACKED_MAX) {
    const message = `a frame's packed length ${packedLength} is not in 1..${FRAME_PACKED_MAX}`;
    throw formatError(format, message, position, { packedLength });
  }
  return { rawLength, packedLength };
}

/** Takes a frame's packed bytes, all of them. */
export async function takePacked(
  cursor: SourceCursor,
  head: FrameHead,
  format: ArchiveFormat,
): Promise<Buffer> {
  const position = cursor.position;
  const packed = await cursor.take(head.packedLength);
  if (packed.length < head.packedLength) {
    const message = `the object ends within a frame: ${packed.length} of ${head.packedLength} bytes`;
    throw formatError(format, message, position + packed.length);
  }
  return packed;
}
