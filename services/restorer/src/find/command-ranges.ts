import type { SegmentFrame } from '@tidemark/archive';
import type { Catalog, CatalogSegment } from '@tidemark/catalog';
import { PlanError } from '@tidemark/core';
import type { FrameChoice } from './choose-frames.ts';
import { segmentBefore } from './segments-within.ts';

/** A range of offsets to be decoded; it begins with a command outside any transaction. */
export interface CommandRange {
  readonly from: bigint;
  readonly to: bigint;
  /** Database selected at `from`. */
  readonly db: number;
}

/** Where the frames of earlier segments come from. */
export interface FrameSource {
  readonly catalog: Catalog;
  readonly frames: (segment: CatalogSegment) => Promise<readonly SegmentFrame[]>;
}

/**
 * The ranges that hold the chosen frames of a segment, in order. A range goes back to where the
 * command or the transaction starts that its first byte lies in, be it in an earlier segment.
 */
export async function rangesOfFrames(
  segment: CatalogSegment,
  { chosen, frames }: Pick<FrameChoice, 'chosen' | 'frames'>,
  source: FrameSource,
): Promise<readonly CommandRange[]> {
  const ranges: CommandRange[] = [];
  for (const index of chosen) {
    const frame = frames[index];
    if (frame === undefined) continue;
    const to = frame.start + BigInt(frame.rawLength);
    const start = startWithin(frames.slice(0, index + 1)) ?? (await startBefore(segment, source));
    const last = ranges.at(-1);
    if (last === undefined || start.from > last.to) ranges.push({ ...start, to });
    else ranges[ranges.length - 1] = { ...last, to };
  }
  return ranges;
}

type Start = Pick<CommandRange, 'from' | 'db'>;

/** The last place at which a frame lies outside transactions: its command's first byte. */
function startWithin(frames: readonly SegmentFrame[]): Start | null {
  const frame = frames.findLast(({ inMulti }) => !inMulti);
  if (frame === undefined) return null;
  return { from: frame.start - BigInt(frame.partialBytes), db: frame.db };
}

async function startBefore(segment: CatalogSegment, source: FrameSource): Promise<Start> {
  let at = segmentBefore(source.catalog, segment.timeline, segment.start);
  while (at !== null) {
    const start = startWithin(await source.frames(at));
    if (start !== null) return start;
    at = segmentBefore(source.catalog, at.timeline, at.start);
  }
  throw new PlanError('TM_OFFSET_NOT_RESTORABLE', 'no command boundary is known before a segment', {
    context: { timeline: segment.timeline, offset: segment.start },
  });
}
