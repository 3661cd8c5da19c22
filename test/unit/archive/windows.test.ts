import {
  computeWindows,
  nearestRestorable,
  windowAt,
  type HoleReason,
  type TimelineSpan,
} from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

const span = (
  timeline: string,
  from: number | null,
  to: number | null,
  opened: HoleReason | 'attach' | null = null,
  closed: HoleReason | null = null,
): TimelineSpan => ({ timeline, from, to, openedBecause: opened, closedBecause: closed });

describe('computeWindows()', () => {
  it('of nothing restorable is empty', () => {
    const none = { ranges: [], holes: [], earliest: null, latest: null };
    expect(computeWindows([])).toEqual(none);
    expect(computeWindows([span('a', null, null, 'attach')])).toEqual(none);
    expect(computeWindows([span('a', 10, null, 'attach')])).toEqual(none);
    expect(computeWindows([span('a', 10, 9, 'attach')])).toEqual(none);
  });

  it('puts a hole with the closing reason between two timelines', () => {
    const windows = computeWindows([
      span('a', 10, 20, 'attach', 'aof-off'),
      span('b', 30, 40, 'aof-off'),
    ]);
    expect(windows).toEqual({
      ranges: [
        { from: 10, to: 20, timeline: 'a' },
        { from: 30, to: 40, timeline: 'b' },
      ],
      holes: [{ from: 21, to: 29, reason: 'aof-off' }],
      earliest: 10,
      latest: 40,
    });
  });

  it('takes the reason of the first break when several lie in one hole', () => {
    const between = [span('x', null, null, 'spool-full', 'detached')];
    expect(
      computeWindows([span('a', 10, 20), ...between, span('b', 30, 40, 'pin-dropped')]).holes,
    ).toEqual([{ from: 21, to: 29, reason: 'spool-full' }]);
    expect(
      computeWindows([
        span('a', 10, 20, 'attach', 'backlog-overrun'),
        ...between,
        span('b', 30, 40, 'attach'),
      ]).holes,
    ).toEqual([{ from: 21, to: 29, reason: 'backlog-overrun' }]);
  });

  it('calls it capture-down when nothing closed the timeline before', () => {
    const windows = computeWindows([span('a', 10, 20, 'attach'), span('b', 30, 40, 'attach')]);
    expect(windows.holes).toEqual([{ from: 21, to: 29, reason: 'capture-down' }]);
  });

  it('makes the later timeline current from its first second on', () => {
    const windows = computeWindows([
      span('a', 10, 100, 'attach'),
      span('b', 50, 80, 'divergent-tail'),
    ]);
    expect(windows.ranges).toEqual([
      { from: 10, to: 49, timeline: 'a' },
      { from: 50, to: 80, timeline: 'b' },
    ]);
    expect(windows.holes).toEqual([]);
    expect(windows.latest).toBe(80);
  });

  it('lets a timeline that has proven nothing yet end the one before', () => {
    const windows = computeWindows([span('a', 10, 100), span('b', 50, null, 'clock-step')]);
    expect(windows.ranges).toEqual([{ from: 10, to: 49, timeline: 'a' }]);
  });

  it('drops a timeline that a set-back clock covers whole', () => {
    const windows = computeWindows([
      span('a', 1_000, 2_000, 'attach', 'clock-step'),
      span('b', 500, 600, 'clock-step'),
    ]);
    expect(windows.ranges).toEqual([{ from: 500, to: 600, timeline: 'b' }]);
    expect(windows.holes).toEqual([]);
  });
});

describe('nearestRestorable() and windowAt()', () => {
  const windows = computeWindows([span('a', 10, 20), span('b', 30, 40)]);

  it.each([
    [5, null, 10],
    [10, 10, 10],
    [20, 20, 20],
    [25, 20, 30],
    [30, 30, 30],
    [41, 40, null],
  ])('of %d are %s and %s', (second, before, after) => {
    expect(nearestRestorable(windows, second)).toEqual({ before, after });
    const inside = before === second && after === second;
    expect(windowAt(windows, second) !== null).toBe(inside);
  });

  it('name the timeline of a second', () => {
    expect(windowAt(windows, 33)?.timeline).toBe('b');
    expect(nearestRestorable({ ranges: [] }, 5)).toEqual({ before: null, after: null });
  });
});
