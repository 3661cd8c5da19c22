import { PlanError, type ByteSource } from '@tidemark/core';
import { formatError } from '../frames/byte-reader.ts';
import { readFrameHead, takePacked } from '../frames/frame-stream.ts';
import { SourceCursor } from '../frames/source-cursor.ts';
import { FrameUnpacker } from '../frames/zstd.ts';
import { type SegmentFrame } from './frame-index.ts';
import { type SegmentHeader } from './header.ts';

/** A range of offsets, `to` exclusive. Default: all there is. */
export interface OffsetRange {
  readonly from?: bigint;
  readonly to?: bigint;
}

/**
 * The raw command bytes of a segment, or a part of them. Frames outside the range are passed over
 * without unpacking; the source is ended after the last frame needed.
 * @param payload - The plain content from its first byte.
 * @param header - From the log entry or the footer; the frames are held against it.
 * @throws FormatError `TM_SEGMENT_FORMAT` with the position in the payload; PlanError
 *   `TM_OFFSET_NOT_RESTORABLE` when the range is not within the segment.
 */
export async function* segmentCommands(
  payload: ByteSource,
  header: SegmentHeader,
  range: OffsetRange = {},
): AsyncGenerator<Uint8Array> {
  const { start, end, frames } = header;
  yield* unpackFrames(payload, { start, end, count: frames }, range);
}

/**
 * The raw command bytes of some frames that follow each other, as a ranged read gives them.
 * @param source - The payload from the first frame's `position` to the end of the last one.
 * @param frames - From the footer; at least one.
 */
export async function* frameCommands(
  source: ByteSource,
  frames: readonly SegmentFrame[],
  range: OffsetRange = {},
): AsyncGenerator<Uint8Array> {
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined) return;
  const end = last.start + BigInt(last.rawLength);
  yield* unpackFrames(source, { start: first.start, end, count: frames.length }, range);
}

/**
 * The frames that hold a range of offsets.
 * @returns They follow each other; none for an empty range.
 */
export function framesOfRange(
  frames: readonly SegmentFrame[],
  from: bigint,
  to: bigint,
): readonly SegmentFrame[] {
  return frames.filter((one) => one.start < to && one.start + BigInt(one.rawLength) > from);
}

interface FrameRun {
  readonly start: bigint;
  readonly end: bigint;
  readonly count: number;
}

async function* unpackFrames(
  source: ByteSource,
  run: FrameRun,
  range: OffsetRange,
): AsyncGenerator<Uint8Array> {
  const { from = run.start, to = run.end } = range;
  if (from < run.start || to > run.end || from > to) throw outside(run, from, to);
  const first = Number(from - run.start);
  const last = Number(to - run.start);
  const total = Number(run.end - run.start);
  await using cursor = new SourceCursor(source);
  const unpacker = new FrameUnpacker();
  let at = 0;
  for (let frame = 0; at < last; frame++) {
    const position = cursor.position;
    const head = await readFrameHead(cursor, 'segment');
    const frameEnd = at + head.rawLength;
    const early = head.rawLength === 0 || frame >= run.count;
    if (early || frameEnd > total || (frameEnd === total) !== (frame === run.count - 1)) {
      const message = `frame ${frame + 1} of ${run.count} ends at raw byte ${frameEnd} of ${total}`;
      throw formatError('segment', message, position);
    }
    if (frameEnd <= first) {
      const skipped = await cursor.skip(head.packedLength);
      if (skipped < head.packedLength) {
        throw formatError('segment', 'the object ends within a frame', cursor.position);
      }
    } else {
      const packed = await takePacked(cursor, head, 'segment');
      const raw = Buffer.allocUnsafeSlow(head.rawLength);
      if (!unpacker.unpack(packed, raw)) {
        throw formatError('segment', 'a frame does not unpack', position);
      }
      yield raw.subarray(Math.max(0, first - at), Math.min(head.rawLength, last - at));
    }
    at = frameEnd;
  }
}

function outside(run: FrameRun, from: bigint, to: bigint): PlanError {
  const wanted = `${from.toString()}..${to.toString()}`;
  const held = `${run.start.toString()}..${run.end.toString()}`;
  return new PlanError('TM_OFFSET_NOT_RESTORABLE', `offsets ${wanted} are not within ${held}`, {
    context: { from, to, start: run.start, end: run.end },
  });
}
