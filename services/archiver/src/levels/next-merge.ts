import type { KeptSegment } from '@tidemark/catalog';

/** A level of merged segments and how much time one of its segments holds. */
export interface Level {
  readonly level: number;
  readonly spanMs: number;
}

/** A minute, ten minutes, an hour: a day of 1 s segments is at most 23 + 5 + 9 + 60 objects. */
export const LEVELS: readonly Level[] = [
  { level: 1, spanMs: 60_000 },
  { level: 2, spanMs: 600_000 },
  { level: 3, spanMs: 3_600_000 },
];

/** Command bytes of a merged segment, at most: above it single ones are few for their bytes. */
export const MERGED_BYTES_MAX: number = 64 * 1024 * 1024;

/**
 * Captured segments of more command bytes than this, on the average, are not worth merging: the node
 * writes megabytes a second then, and the archiver has other things to do.
 */
const MEAN_BYTES_MAX = 4 * 1024 * 1024;

/** How long after the end of its span a segment may still come that belongs to it. */
const GRACE_MS = 2_000;

/** Segments that become one. */
export interface MergeRun {
  readonly level: number;
  /** At least two, each beginning where the one before it ends. */
  readonly segments: readonly KeptSegment[];
}

/** What there is to be merged. */
export interface MergeView {
  /** Rows of one timeline, by offset. */
  readonly segments: readonly KeptSegment[];
  /** Bytes of the unfinished command at the durable end of the timeline. */
  readonly endPartialBytes: number;
  readonly nowMs: number;
  /** Whether the content of a segment is at hand. */
  readonly isAtHand: (segment: KeptSegment) => boolean;
}

/**
 * The next segments to be merged, of the lowest level that is due; null when none are.
 *
 * Those of one span of time, whose end has passed or which are as much as one may hold, on one side of a step of the clock. They begin and
 * end between two commands, so that they can be read on their own.
 */
export function nextMerge(view: MergeView): MergeRun | null {
  for (const level of LEVELS) {
    for (let at = 0; at < view.segments.length;) {
      const end = endOfGroup(view, at, level);
      const group = { from: at, end, over: isOver(view, end, level) };
      const segments = end - at > 1 ? worthMerging(view, group) : null;
      if (segments !== null) return { level: level.level, segments };
      at = Math.max(end, at + 1);
    }
  }
  return null;
}

/** The end of the run of segments from `at` on that may become one of this level. */
function endOfGroup(view: MergeView, at: number, { level, spanMs }: Level): number {
  const { segments, isAtHand } = view;
  const span = spanOf(segments[at], spanMs);
  let end = at;
  for (let before: KeptSegment | null = null; end < segments.length; end++) {
    const one = segments[end] as KeptSegment;
    const follows =
      before === null || (one.header.start === before.header.end && one.stretch === before.stretch);
    const fits = (one.header.level ?? 0) < level && spanOf(one, spanMs) === span;
    if (!follows || !fits || !isAtHand(one)) break;
    before = one;
  }
  return end;
}

function spanOf(segment: KeptSegment | undefined, spanMs: number): number {
  return Math.floor((segment?.atMs ?? 0) / spanMs);
}

/** Whether nothing more can come that belongs to the group that ends at `end`. */
function isOver({ segments, nowMs }: MergeView, end: number, { spanMs }: Level): boolean {
  const span = spanOf(segments[end - 1], spanMs);
  if (spanOf(segments.at(-1), spanMs) !== span) return true;
  return nowMs >= (span + 1) * spanMs + GRACE_MS;
}

/** Segments that may become one, or several. */
interface Group {
  readonly from: number;
  readonly end: number;
  /** Whether nothing more can come that belongs to it. */
  readonly over: boolean;
}

/** The first segments of a group that fit into one, are worth it, and will not get more. */
function worthMerging(view: MergeView, { from, end, over }: Group): readonly KeptSegment[] | null {
  const { segments } = view;
  const partialAt = (at: number): number =>
    segments[at]?.header.partialBytes ?? view.endPartialBytes;
  for (let at = from; at < end;) {
    let bytes = 0;
    let mergedBytes = 0;
    let last = at;
    let full = false;
    for (let i = at; i < end && partialAt(at) === 0; i++) {
      bytes += segments[i]?.header.rawBytes ?? 0;
      full = bytes > MERGED_BYTES_MAX;
      if (full) break;
      if (partialAt(i + 1) > 0) continue;
      last = i + 1;
      mergedBytes = bytes;
    }
    const count = last - at;
    const run = segments.slice(at, last);
    const slow = mergedBytes / count <= MEAN_BYTES_MAX || run.every(({ header }) => header.level);
    if (count > 1 && slow && (full || over)) return run;
    at = Math.max(last, at + 1);
  }
  return null;
}
