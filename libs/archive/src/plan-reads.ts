import { PlanError } from '@tidemark/core';

/** What planning looks at in a snapshot. */
export interface PlannedSnapshot {
  readonly timeline: string;
  readonly offset: bigint;
}

/** What planning looks at in a segment; it covers `[start, end)`. */
export interface PlannedSegment {
  readonly timeline: string;
  readonly start: bigint;
  readonly end: bigint;
  /** 0 or absent = as captured; above 0 = merged from segments of the level below. */
  readonly level?: number;
}

/** Bytes `[from, to)` of one segment. */
export interface PlannedRead<G extends PlannedSegment> {
  readonly segment: G;
  readonly from: bigint;
  readonly to: bigint;
}

/** What must be read to rebuild an offset. */
export interface ReadPlan<S extends PlannedSnapshot, G extends PlannedSegment> {
  readonly snapshot: S;
  /** In offset order; together they cover the snapshot's offset up to the cut. */
  readonly segments: readonly G[];
  /** The same segments with the bytes to take from each: ranges that join without gap or overlap. */
  readonly reads: readonly PlannedRead<G>[];
}

/** Input of `planReads`. Snapshots and segments of other timelines are passed over. */
export interface PlanReadsOptions<S extends PlannedSnapshot, G extends PlannedSegment> {
  readonly snapshots: readonly S[];
  readonly segments: readonly G[];
  readonly timeline: string;
  /** Exclusive end of what is to be replayed. */
  readonly cutOffset: bigint;
}

/**
 * Plans the reads for an offset: the newest snapshot at or before it, then as few segments as cover
 * the way from there. Where segments overlap, as merged levels do, the one that reaches furthest is
 * taken, of equal ones the higher level.
 *
 * An older snapshot is never tried: it needs every byte that the newest one needs, and more.
 * @throws PlanError `TM_OFFSET_NOT_RESTORABLE` with `missingFrom` and `missingTo`.
 */
export function planReads<S extends PlannedSnapshot, G extends PlannedSegment>(
  options: PlanReadsOptions<S, G>,
): ReadPlan<S, G> {
  const { timeline, cutOffset } = options;
  const snapshot = newestSnapshot(options);
  const segments = options.segments
    .filter((one) => one.timeline === timeline && one.end > snapshot.offset && one.end > one.start)
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const reads: PlannedRead<G>[] = [];
  let at = snapshot.offset;
  let next = 0;
  while (at < cutOffset) {
    let best: G | null = null;
    for (; next < segments.length; next++) {
      const one = segments[next];
      if (one === undefined || one.start > at) break;
      if (best === null || reachesFurther(one, best)) best = one;
    }
    // What was passed over before ends no later than `at`, so it is never wanted again.
    if (best === null || best.end <= at) {
      const missingTo = segments.find((one) => one.start > at)?.start ?? cutOffset;
      throw missing(options, at, missingTo < cutOffset ? missingTo : cutOffset);
    }
    reads.push({ segment: best, from: at, to: min(best.end, cutOffset) });
    at = best.end;
  }
  return { snapshot, segments: reads.map((read) => read.segment), reads };
}

function newestSnapshot<S extends PlannedSnapshot, G extends PlannedSegment>(
  options: PlanReadsOptions<S, G>,
): S {
  let newest: S | null = null;
  for (const one of options.snapshots) {
    if (one.timeline !== options.timeline || one.offset > options.cutOffset) continue;
    if (newest === null || one.offset >= newest.offset) newest = one;
  }
  if (newest !== null) return newest;
  throw new PlanError('TM_OFFSET_NOT_RESTORABLE', 'no snapshot lies at or before the offset', {
    context: {
      timeline: options.timeline,
      cutOffset: options.cutOffset,
      missingFrom: 0n,
      missingTo: options.cutOffset,
    },
    hint: 'choose a later offset, or another timeline',
  });
}

function missing(
  options: Pick<PlanReadsOptions<PlannedSnapshot, PlannedSegment>, 'timeline' | 'cutOffset'>,
  missingFrom: bigint,
  missingTo: bigint,
): PlanError {
  const range = `${missingFrom.toString()} to ${missingTo.toString()}`;
  return new PlanError('TM_OFFSET_NOT_RESTORABLE', `no segment holds offsets ${range}`, {
    context: {
      timeline: options.timeline,
      cutOffset: options.cutOffset,
      missingFrom,
      missingTo,
    },
    hint: 'choose an offset before the missing range, or one after the next snapshot',
  });
}

function reachesFurther(one: PlannedSegment, best: PlannedSegment): boolean {
  if (one.end !== best.end) return one.end > best.end;
  return (one.level ?? 0) > (best.level ?? 0);
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
