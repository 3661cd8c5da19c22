import fc from 'fast-check';
import { expect, it } from 'vitest';
import { commonWindows } from '../../services/control/src/queries/common-windows.ts';
import {
  windowBuckets,
  type WindowBucket,
} from '../../services/control/src/queries/window-buckets.ts';
import type { ShardWindows } from '../../services/control/src/queries/windows.ts';

const REASONS = ['capture-down', 'aof-off', 'clock-step'] as const;

/** Windows with holes between them, as lengths that follow each other. */
const shard = fc
  .record({
    from: fc.integer({ min: -50, max: 200 }),
    lengths: fc.array(
      fc.record({
        window: fc.integer({ min: 1, max: 60 }),
        hole: fc.integer({ min: 1, max: 40 }),
        reason: fc.constantFrom(...REASONS),
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ from, lengths }): ShardWindows => {
    const ranges: { from: number; to: number }[] = [];
    const holes: { from: number; to: number; reason: string; detail: null }[] = [];
    let at = from;
    for (const [i, { window, hole, reason }] of lengths.entries()) {
      ranges.push({ from: at, to: at + window - 1 });
      at += window;
      if (i < lengths.length - 1) holes.push({ from: at, to: at + hole - 1, reason, detail: null });
      at += hole;
    }
    const [earliest, latest] = [ranges[0]?.from ?? null, ranges.at(-1)?.to ?? null];
    return { shard: '0', again: null, timelines: [], ranges, holes, earliest, latest };
  });

/** What a bucket is, by the definition: every second of it is looked at. */
function told(
  shards: readonly ShardWindows[],
  { from, to }: { readonly from: number; readonly to: number },
  nowSecond: number,
): WindowBucket {
  const has = (second: number): boolean =>
    shards.length > 0 &&
    shards.every(({ ranges }) => ranges.some((one) => one.from <= second && second <= one.to));
  const all = commonWindows(shards);
  const [earliest, latest] = [all.ranges[0]?.from, all.ranges.at(-1)?.to];
  const counts = { restorable: 0, gap: 0, lag: 0, passed: 0 };
  const reasons: string[] = [];
  for (let second = from; second <= to; second++) {
    if (second < nowSecond || (latest !== undefined && second <= latest)) counts.passed += 1;
    if (has(second)) counts.restorable += 1;
    else if (earliest !== undefined && latest !== undefined && second > earliest) {
      if (second < latest) counts.gap += 1;
      else if (second < nowSecond) counts.lag += 1;
    }
  }
  for (const gap of all.gaps) {
    if (gap.from <= to && gap.to >= from && !reasons.includes(gap.reason)) reasons.push(gap.reason);
  }
  const { restorable, passed } = counts;
  return {
    ...{ from, to, restorableSeconds: restorable, gapSeconds: counts.gap, lagSeconds: counts.lag },
    state: restorable === 0 ? 'none' : restorable >= passed ? 'whole' : 'partly',
    reasons,
  };
}

it('buckets say what their seconds say one by one, and leave no second of the span out', () => {
  fc.assert(
    fc.property(
      fc.array(shard, { maxLength: 3 }),
      fc.record({
        from: fc.integer({ min: -100, max: 400 }),
        length: fc.integer({ min: 1, max: 300 }),
        stepSeconds: fc.integer({ min: 1, max: 70 }),
        nowSecond: fc.integer({ min: -50, max: 500 }),
      }),
      (shards, { from, length, stepSeconds, nowSecond }) => {
        const to = from + length - 1;
        const cut = { from, to, stepSeconds, nowSecond };
        const buckets = windowBuckets(commonWindows(shards), cut);
        expect(buckets.at(0)?.from).toBeLessThanOrEqual(from);
        expect(buckets.at(-1)?.to).toBeGreaterThanOrEqual(to);
        for (const [i, bucket] of buckets.entries()) {
          expect(Math.abs(bucket.from % stepSeconds)).toBe(0);
          expect(bucket.to - bucket.from + 1).toBe(stepSeconds);
          if (i > 0) expect(bucket.from).toBe((buckets[i - 1]?.to ?? NaN) + 1);
          expect(bucket).toEqual(told(shards, bucket, nowSecond));
        }
        expect(buckets.length).toBeLessThanOrEqual(Math.ceil(length / stepSeconds) + 1);
      },
    ),
    { numRuns: 150 },
  );
});
