import { CommandDecoder } from '@tidemark/aof';
import {
  readSegmentFooter,
  SegmentBuilder,
  segmentCommands,
  type BuiltSegment,
  type Mark,
  type OffsetRange,
  type RangeReader,
  type SegmentBuilderOptions,
  type SegmentFooter,
  type SegmentHeader,
} from '@tidemark/archive';
import { bytesOf, type ByteSource } from '@tidemark/core';

/** A built segment with its payload in one buffer. */
export interface TestSegment {
  readonly header: SegmentHeader;
  readonly payload: Buffer;
  readonly built: BuiltSegment;
}

/** What `buildSegments` may be told; the rest as in `SegmentBuilder`. */
export interface BuildOptions extends Partial<Omit<SegmentBuilderOptions, 'start' | 'db'>> {
  /** Offset of the first byte of the log. Default 0. */
  readonly offset?: bigint;
  readonly marks?: readonly Mark[];
}

/** Builds one segment for each list of chunks, as an archiver does that rolls between them. */
export function buildSegments(
  groups: readonly (readonly Buffer[])[],
  options: BuildOptions = {},
): TestSegment[] {
  const { offset = 0n, marks = [], ...rest } = options;
  const decoder = new CommandDecoder({ offset });
  return groups.map((chunks) => {
    const builder = new SegmentBuilder({
      timeline: 'tl-1',
      bytesMax: 64 * 1024 * 1024,
      ...rest,
      start: decoder.offset,
      db: decoder.db,
      inMulti: decoder.inMulti,
      partialBytes: decoder.partialBytes,
    });
    for (const chunk of chunks) {
      for (const batch of decoder.push(chunk)) builder.addBatch(batch);
    }
    for (const mark of marks) {
      if (mark.offset >= builder.start && mark.offset <= builder.end) builder.addMark(mark);
    }
    const built = builder.finish();
    return { header: built.header, payload: Buffer.concat(built.payload), built };
  });
}

/** One segment of a whole log. */
export function buildSegment(log: Buffer, options: BuildOptions = {}): TestSegment {
  return buildSegments([[log]], options)[0]!;
}

/** Ranged reads of a buffer; what was asked for is noted in `ranges`. */
export function rangesOf(payload: Buffer, ranges: [number, number][] = []): RangeReader {
  return (start, end) => {
    ranges.push([start, end]);
    return Promise.resolve(payload.subarray(start, end));
  };
}

export function footerOf(payload: Buffer): Promise<SegmentFooter> {
  return readSegmentFooter(rangesOf(payload), payload.length);
}

/** A buffer as a stream of chunks of `size` bytes. */
export async function* chunked(bytes: Buffer, size: number): ByteSource {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

export async function collect(source: ByteSource): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

export function commandsOf(segment: TestSegment, range: OffsetRange = {}): Promise<Buffer> {
  return collect(segmentCommands(bytesOf(segment.payload), segment.header, range));
}
