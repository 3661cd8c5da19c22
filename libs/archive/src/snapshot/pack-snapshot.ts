import { TidemarkError, UsageError, type ByteSource } from '@tidemark/core';
import { type RdbSummary } from '@tidemark/rdb';
import { ByteWriter } from '../frames/byte-writer.ts';
import { SectionWriter } from '../frames/sections.ts';
import { FRAME_HEAD_BYTES, FRAME_RAW_MAX, packedBytesMax, packerOf } from '../frames/zstd.ts';
import {
  addSnapshotFrame,
  encodeSnapshotHead,
  SNAPSHOT_INDEX_BYTES_MAX,
  SNAPSHOT_SECTION,
} from './snapshot-footer.ts';

/** What `packSnapshot` needs beside the bytes. */
export interface PackSnapshotOptions {
  readonly timeline: string;
  /** The dataset is the one at exactly this offset. */
  readonly offset: bigint;
  /** Asked once, after the last byte: `passRdb` knows the summary then. */
  readonly summary: () => RdbSummary;
  /** zstd level, 1 to 19. Default 1. */
  readonly level?: number;
  /** Raw bytes of a frame, at most and by default 1 MiB. */
  readonly frameBytes?: number;
}

/**
 * Packs an RDB into the plain content of a snapshot object, in constant memory. A part is valid until
 * the next one.
 * @throws UsageError `TM_USAGE` for options out of range; TidemarkError `TM_LIMIT` for an RDB over
 *   5 TiB, `TM_INTERNAL` when the summary is of other bytes; whatever `rdb` throws.
 */
export async function* packSnapshot(
  rdb: ByteSource,
  options: PackSnapshotOptions,
): AsyncGenerator<Buffer> {
  const { timeline, offset, frameBytes = FRAME_RAW_MAX } = options;
  if (!Number.isInteger(frameBytes) || frameBytes < 1 || frameBytes > FRAME_RAW_MAX) {
    throw new UsageError('TM_USAGE', `frameBytes ${frameBytes} is not in 1..${FRAME_RAW_MAX}`);
  }
  const packer = packerOf(options.level);
  const target = Buffer.allocUnsafeSlow(packedBytesMax(frameBytes));
  const index = new ByteWriter(SNAPSHOT_INDEX_BYTES_MAX);
  let frames = 0;
  let rdbBytes = 0;
  let framesEnd = 0;
  for await (const raw of cutFrames(rdb, frameBytes)) {
    const frame = packer.packInto(raw, target);
    addSnapshotFrame(index, frame.length - FRAME_HEAD_BYTES, raw.length);
    if (index.overflowed) {
      throw new TidemarkError('TM_LIMIT', 'a snapshot has too many frames', {
        context: { rdbBytes },
      });
    }
    frames++;
    rdbBytes += raw.length;
    framesEnd += frame.length;
    yield frame;
  }
  const summary = options.summary();
  if (summary.bytes !== rdbBytes) {
    throw new TidemarkError('TM_INTERNAL', 'the summary is not that of the packed RDB', {
      context: { rdbBytes, summaryBytes: summary.bytes },
    });
  }
  const writer = new SectionWriter('snapshot', packer, framesEnd);
  const head = encodeSnapshotHead({ timeline, offset, rdbBytes, frames });
  writer.add(SNAPSHOT_SECTION.head, head);
  writer.add(SNAPSHOT_SECTION.frames, index.take());
  writer.add(SNAPSHOT_SECTION.summary, Buffer.from(JSON.stringify(summary), 'utf8'));
  for (const part of writer.finish()) if (part.length > 0) yield part;
}

/** Cuts a stream into pieces of `frameBytes`; the last one may be shorter. Valid until the next. */
async function* cutFrames(source: ByteSource, frameBytes: number): AsyncGenerator<Uint8Array> {
  const frame = Buffer.allocUnsafeSlow(frameBytes);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      if (filled === 0 && chunk.length - at >= frameBytes) {
        yield chunk.subarray(at, at + frameBytes);
        at += frameBytes;
        continue;
      }
      const length = Math.min(chunk.length - at, frameBytes - filled);
      frame.set(chunk.subarray(at, at + length), filled);
      filled += length;
      at += length;
      if (filled < frameBytes) continue;
      yield frame;
      filled = 0;
    }
  }
  if (filled > 0) yield frame.subarray(0, filled);
}
