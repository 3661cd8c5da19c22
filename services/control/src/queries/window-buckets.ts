import { UsageError } from '@tidemark/core';
import { formatSecond } from '@tidemark/workspace';
import { commonWindows, type CommonWindows } from './common-windows.ts';
import { commonSeconds, type SecondRange, type ShardWindows } from './windows.ts';

/** Buckets of one answer. */
export const BUCKETS_MAX = 1_000;

/** `whole`: every second of it that has passed can be restored; `none`: not one of them. */
export type BucketState = 'whole' | 'partly' | 'none';

/** What of a stretch of time can be restored. Whole Unix seconds, both ends inclusive. */
export interface WindowBucket extends SecondRange {
  readonly state: BucketState;
  readonly restorableSeconds: number;
  /** Between windows: they will never be restorable. */
  readonly gapSeconds: number;
  /** Passed, and later than what is proven: they may become restorable. */
  readonly lagSeconds: number;
  /** Of the gaps in it, each once, in the order of time. */
  readonly reasons: readonly string[];
}

/** The same with times, RFC 3339 UTC. */
export type BucketDocument = Omit<WindowBucket, 'from' | 'to'> & {
  readonly from: string;
  readonly to: string;
};

/** How time is cut. */
export interface BucketCut {
  /** Both inclusive; every bucket that meets this span is told, whole. */
  readonly from: number;
  readonly to: number;
  /** Buckets begin at multiples of it, in UTC. */
  readonly stepSeconds: number;
  /** The second that is not over yet. */
  readonly nowSecond: number;
}

const NAMED: Readonly<Record<string, number>> = { second: 1, minute: 60, hour: 3_600, day: 86_400 };
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * Length of a bucket in seconds.
 * @param text - `second`, `minute`, `hour`, `day`, or a number of them such as `15m`.
 * @throws UsageError `TM_USAGE`.
 */
export function stepOf(text: string): number {
  const [, count, unit = ''] = /^([1-9]\d{0,6})([smhd])$/.exec(text) ?? [];
  const step = NAMED[text] ?? Number(count) * (UNITS[unit] ?? NaN);
  if (Number.isSafeInteger(step)) return step;
  throw new UsageError('TM_USAGE', `${JSON.stringify(text)} is no resolution`, {
    hint: 'write second, minute, hour, day, or a duration such as 15m or 6h',
  });
}

/**
 * Cuts the windows of an instance into buckets, in one pass over its ranges and gaps.
 * @throws UsageError `TM_USAGE` (context.buckets) for more than `BUCKETS_MAX`.
 */
export function windowBuckets(
  { ranges, gaps }: CommonWindows,
  { from, to, stepSeconds, nowSecond }: BucketCut,
): readonly WindowBucket[] {
  if (from > to) return [];
  const first = Math.floor(from / stepSeconds);
  const count = Math.floor(to / stepSeconds) - first + 1;
  refuseMany(count);
  const [earliest, latest] = [ranges[0]?.from ?? Infinity, ranges.at(-1)?.to ?? -Infinity];
  // The clock of a server may be ahead of this one.
  const passed = Math.max(nowSecond - 1, latest);
  const buckets: WindowBucket[] = [];
  for (let [index, range, gap] = [0, 0, 0]; index < count; index++) {
    const start = (first + index) * stepSeconds;
    const span = { from: start, to: start + stepSeconds - 1 };
    while (endsBefore(ranges[range], start)) range += 1;
    while (endsBefore(gaps[gap], start)) gap += 1;
    let restorableSeconds = 0;
    for (const one of meetingFrom(ranges, range, span)) restorableSeconds += overlap(one, span);
    const reasons = new Set<string>();
    for (const { reason } of meetingFrom(gaps, gap, span)) reasons.add(reason);
    buckets.push({
      ...span,
      state: stateOf(restorableSeconds, overlap({ from: -Infinity, to: passed }, span)),
      restorableSeconds,
      gapSeconds: overlap({ from: earliest, to: latest }, span) - restorableSeconds,
      lagSeconds: latest === -Infinity ? 0 : overlap({ from: latest + 1, to: passed }, span),
      reasons: [...reasons],
    });
  }
  return buckets;
}

function endsBefore(one: SecondRange | undefined, second: number): boolean {
  return one !== undefined && one.to < second;
}

/** Those that meet a span, of a list that is in the order of its beginnings. */
function* meetingFrom<T extends SecondRange>(
  all: readonly T[],
  index: number,
  span: SecondRange,
): Generator<T> {
  for (let i = index; i < all.length; i++) {
    const one = all[i] as T;
    if (one.from > span.to) return;
    if (one.to >= span.from) yield one;
  }
}

/**
 * The buckets of some shards, as `windows --resolution` and the API show them.
 * @param span - Null: from the first second that can be restored; up to now.
 * @throws As `windowBuckets`.
 */
export function bucketDocuments(
  shards: readonly ShardWindows[],
  span: { readonly from: number | null; readonly to: number | null },
  cut: Pick<BucketCut, 'stepSeconds' | 'nowSecond'>,
): readonly BucketDocument[] {
  const from = span.from ?? commonSeconds(shards).earliest;
  if (from === null) return [];
  const to = span.to ?? Math.max(from, cut.nowSecond);
  return windowBuckets(commonWindows(shards), { ...cut, from, to }).map((bucket) => ({
    ...bucket,
    from: formatSecond(bucket.from),
    to: formatSecond(bucket.to),
  }));
}

function refuseMany(buckets: number): void {
  if (buckets <= BUCKETS_MAX) return;
  throw new UsageError(
    'TM_USAGE',
    `these are ${buckets.toString()} buckets, more than ${BUCKETS_MAX.toString()}`,
    {
      context: { buckets, most: BUCKETS_MAX },
      hint: 'ask for a coarser resolution, or for less time',
    },
  );
}

/** Seconds that both have. */
function overlap(a: SecondRange, b: SecondRange): number {
  return Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from) + 1);
}

function stateOf(restorable: number, passed: number): BucketState {
  if (restorable === 0) return 'none';
  return restorable >= passed ? 'whole' : 'partly';
}
