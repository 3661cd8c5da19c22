import {
  computeWindows,
  HOLE_REASONS,
  nearestRestorable,
  passesOf,
  stretchAt,
  windowAt,
  type ClockStep,
  type HoleReason,
  type TimelineSpan,
} from '@tidemark/archive';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const reason = fc.constantFrom<HoleReason>(...HOLE_REASONS);
const second = fc.option(fc.integer({ min: 0, max: 120 }), { freq: 8 });
const spans = fc
  .array(
    fc.record({
      from: second,
      to: second,
      closedBecause: fc.option(reason),
      openedBecause: fc.option(fc.oneof(reason, fc.constant('attach' as const))),
    }),
    { maxLength: 8 },
  )
  .map((list): TimelineSpan[] => list.map((one, i) => ({ timeline: `t${i}`, ...one })));

/** Any steps that a log may hold, in offset order; times need not fit together. */
const steps = fc
  .array(
    fc.record({
      direction: fc.constantFrom('back' as const, 'forward' as const),
      bytes: fc.nat({ max: 3 }),
      torn: fc.nat({ max: 1 }),
      times: fc.array(fc.integer({ min: 0, max: 120_000 }), { minLength: 4, maxLength: 4 }),
      provenTo: fc.option(fc.integer({ min: 0, max: 120 })),
    }),
    { maxLength: 6 },
  )
  .map((list): ClockStep[] => {
    let offset = 0n;
    return list.map(({ direction, bytes, torn, times, provenTo }) => {
      const before = offset + BigInt(bytes);
      offset = before + BigInt(torn);
      const [untilMs = 0, fromMs = 0, toMs = 0, sinceMs = 0] = times;
      return { direction, before, offset, untilMs, fromMs, toMs, sinceMs, provenTo };
    });
  });
const steppedSpans = spans.chain((list) =>
  fc
    .array(fc.record({ steps, fromOffset: fc.bigInt({ min: 0n, max: 9n }) }), {
      minLength: list.length,
      maxLength: list.length,
    })
    .map((more) => list.map((span, i): TimelineSpan => ({ ...span, ...more[i] }))),
);

/** The definition, second by second: the last opened timeline that has begun is current. */
function currentAt(list: readonly TimelineSpan[], at: number): string | null {
  const current = list.filter((span) => span.from !== null && span.from <= at).at(-1);
  return current !== undefined && current.to !== null && at <= current.to ? current.timeline : null;
}

describe('windows algebra', () => {
  it('gives every second to the timeline that was current, and to no other', () => {
    fc.assert(
      fc.property(spans, (list) => {
        const windows = computeWindows(list);
        for (let at = -1; at <= 121; at++) {
          expect(windowAt(windows, at)?.timeline ?? null).toBe(currentAt(list, at));
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['without steps of the clock', spans],
    ['with any steps', steppedSpans],
  ])(
    'gives sorted, disjoint ranges, and holes that are exactly what lies between: %s',
    (_, any) => {
      fc.assert(
        fc.property(any, (list) => {
          const { ranges, holes, earliest, latest } = computeWindows(list);
          expect(earliest).toBe(ranges[0]?.from ?? null);
          expect(latest).toBe(ranges.at(-1)?.to ?? null);
          for (const { reason: why } of holes) expect(HOLE_REASONS).toContain(why);
          const all = [...ranges, ...holes].sort((a, b) => a.from - b.from);
          let next = earliest ?? 0;
          for (const one of all) {
            expect(one.from).toBe(next);
            expect(one.to).toBeGreaterThanOrEqual(one.from);
            next = one.to + 1;
          }
          expect(next - 1).toBe(latest ?? -1);
        }),
        { numRuns: 300 },
      );
    },
  );

  it('gives a second only to a timeline that one stretch of it resolves it to, and none after its last proven one', () => {
    fc.assert(
      fc.property(steppedSpans, (list) => {
        const windows = computeWindows(list);
        for (let at = -1; at <= 121; at++) {
          const range = windowAt(windows, at);
          if (range === null) continue;
          const span = list.find(({ timeline }) => timeline === range.timeline)!;
          const stretch = stretchAt(span, at);
          expect(passesOf(span, at)).toEqual([stretch]);
          if (span.to !== null) expect(at).toBeLessThanOrEqual(span.to);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('names the nearest restorable seconds', () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: -5, max: 125 }), (list, at) => {
        const windows = computeWindows(list);
        const restorable: number[] = [];
        for (let i = -5; i <= 125; i++) if (windowAt(windows, i) !== null) restorable.push(i);
        expect(nearestRestorable(windows, at)).toEqual({
          before: restorable.filter((one) => one <= at).at(-1) ?? null,
          after: restorable.find((one) => one >= at) ?? null,
        });
      }),
      { numRuns: 200 },
    );
  });
});
