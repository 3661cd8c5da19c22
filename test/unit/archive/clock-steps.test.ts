import {
  computeWindows,
  passesOf,
  stretchAt,
  stretchesOf,
  type ClockStep,
  type TimelineSpan,
} from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

/** A step known to the millisecond, at an offset where nothing ran between its bounds. */
const step = (
  direction: 'back' | 'forward',
  offset: bigint,
  from: number,
  to: number,
  over: Partial<ClockStep> = {},
): ClockStep => ({
  ...{ direction, before: offset, offset, untilMs: from * 1000, fromMs: from * 1000 },
  ...{ toMs: to * 1000, sinceMs: to * 1000, provenTo: direction === 'back' ? from - 1 : null },
  ...over,
});
const span = (
  from: number | null,
  to: number | null,
  steps: readonly ClockStep[],
  over: Partial<TimelineSpan> = {},
): TimelineSpan => ({
  ...{ timeline: 'a', from, fromOffset: 0n, to, steps, closedBecause: null },
  ...{ openedBecause: 'attach', ...over },
});
const range = (from: number, to: number, timeline = 'a') => ({ from, to, timeline });
const hole = (from: number, to: number) => ({ from, to, reason: 'clock-step' });

describe('computeWindows() over steps of the clock', () => {
  it('gives the seconds that a step forward jumped over the state before it', () => {
    const one = span(1_000, 4_700, [step('forward', 9n, 1_010, 4_610)]);
    expect(computeWindows([one]).ranges).toEqual([range(1_000, 4_700)]);
    expect(stretchesOf(one)).toMatchObject([
      {
        ran: [
          { from: 1_000, to: 1_010 },
          { from: 4_610, to: 4_700 },
        ],
      },
    ]);
    expect(stretchesOf(one)[0]?.jumped).toEqual([{ from: 1_011, to: 4_609 }]);
  });

  it('claims nothing of an hour ahead once the clock was set back, and loses none of this one', () => {
    const steps = [step('forward', 9n, 1_010, 4_610), step('back', 20n, 4_620, 1_020)];
    expect(computeWindows([span(1_000, null, steps)]).ranges).toEqual([range(1_000, 1_019)]);
    const later = computeWindows([span(1_000, 1_100, steps)]);
    expect(later).toMatchObject({ ranges: [range(1_000, 1_100)], holes: [], latest: 1_100 });
    const over = computeWindows([span(1_000, 4_700, steps)]);
    expect(over.ranges).toEqual([range(1_000, 4_609), range(4_621, 4_700)]);
    expect(over.holes).toEqual([hole(4_610, 4_620)]);
  });

  it('refuses what passed twice, and nothing else', () => {
    const one = span(1_000, 1_030, [step('back', 9n, 1_010, 1_005)]);
    expect(computeWindows([one])).toMatchObject({
      ranges: [range(1_000, 1_004), range(1_011, 1_030)],
      holes: [hole(1_005, 1_010)],
    });
    expect([1_004, 1_005, 1_011].map((at) => stretchAt(one, at)?.index ?? null)).toEqual([
      ...[0, null, 1],
    ]);
    expect(passesOf(one, 1_005).map(({ index }) => index)).toEqual([0, 1]);
    expect(passesOf(one, 1_011).map(({ index }) => index)).toEqual([1]);
  });

  it('takes both bounds of a step for shown, and its cut for known where marks tell it', () => {
    const over = { before: 7n, fromMs: 1_012_500, toMs: 1_003_500, sinceMs: 1_006_500 };
    const one = span(1_000, 1_030, [step('back', 9n, 1_010, 1_005, over)]);
    expect(stretchesOf(one)).toMatchObject([
      { ran: [{ from: 1_000, to: 1_012 }], unsure: [{ from: 1_011, to: 1_012 }] },
      { ran: [{ from: 1_003, to: 1_030 }], restorable: { from: 1_006, to: 1_030 } },
    ]);
    expect(stretchesOf(one)[0]?.restorable).toEqual({ from: 1_000, to: 1_009 });
    expect(computeWindows([one]).holes).toEqual([hole(1_003, 1_012)]);
  });

  it('refuses the last second before a step when the cut lies between two marks', () => {
    const back = step('back', 9n, 1_010, 900, { before: 7n });
    const ahead = step('forward', 30n, 950, 2_000);
    const one = computeWindows([span(980, 2_050, [back, ahead])]);
    expect(one.ranges).toEqual([range(900, 1_009), range(1_011, 2_050)]);
    expect(one.holes).toEqual([hole(1_010, 1_010)]);
  });

  it('refuses a second that two steps jumped over', () => {
    const steps = [
      step('forward', 5n, 1_000, 4_600),
      step('back', 9n, 4_610, 1_005),
      step('forward', 12n, 1_007, 4_700),
    ];
    const { ranges, holes } = computeWindows([span(990, 4_710, steps)]);
    expect(holes).toEqual([hole(1_008, 4_599)]);
    expect(ranges).toEqual([range(990, 1_007), range(4_600, 4_710)]);
  });

  it('leaves the stretches before the first snapshot out', () => {
    const one = span(905, 930, [step('back', 9n, 1_010, 900)], { fromOffset: 20n });
    expect(stretchesOf(one)).toMatchObject([{ index: 1, ran: [{ from: 905, to: 930 }] }]);
    expect(computeWindows([one]).ranges).toEqual([range(905, 930)]);
  });

  it('counts the steps back whose entries are gone', () => {
    const one = span(1_000, 1_030, [step('back', 9n, 1_010, 1_005)], { forgottenStepsBack: 3 });
    expect(stretchesOf(one).map(({ index }) => index)).toEqual([3, 4]);
  });

  it('refuses a second that an earlier timeline has too when a later one came back to it', () => {
    const first = span(900, 1_000, [], { closedBecause: 'aof-off' });
    const back = step('back', 9n, 1_110, 950);
    const second = span(1_050, 1_120, [back], { timeline: 'b', openedBecause: 'aof-off' });
    const { ranges, holes } = computeWindows([first, second]);
    expect(ranges).toEqual([range(900, 949), range(1_001, 1_049, 'b'), range(1_111, 1_120, 'b')]);
    expect(holes).toEqual([hole(950, 1_000), hole(1_050, 1_110)]);
  });
});
