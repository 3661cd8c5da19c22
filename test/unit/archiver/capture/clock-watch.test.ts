import { describe, expect, it } from 'vitest';
import { ClockWatch } from '../../../../services/archiver/src/capture/clock-watch.ts';

const T0 = 1_795_000_000_000;
const trip = (askedMs: number, tookMs = 2) => ({ askedMs, answeredMs: askedMs + tookMs });

/** What the second of two samples finds, `passedMs` apart on our clock. */
function between(stepMs: number, passedMs = 200, tookMs = 2): unknown {
  const watch = new ClockWatch();
  expect(watch.see(T0, trip(5_000, tookMs))).toBeNull();
  return watch.see(T0 + passedMs + stepMs, trip(5_000 + passedMs, tookMs));
}

describe('ClockWatch', () => {
  it.each([0, 500, -500, 900, -900])('takes %d ms for a correction, not for a step', (stepMs) => {
    expect(between(stepMs)).toBeNull();
  });

  it.each([
    [3_600_000, 'forward'],
    [-3_600_000, 'back'],
    [1_100, 'forward'],
    [-1_100, 'back'],
  ])('finds a step of %d ms', (stepMs, direction) => {
    expect(between(stepMs)).toEqual({
      direction,
      fromMs: T0 + 202,
      toMs: T0 + 200 + stepMs - 202,
    });
  });

  it('takes a slow answer for no step: the time was told at some moment of it', () => {
    expect(between(5_000, 200, 6_000)).toBeNull();
    expect(between(-5_000, 200, 6_000)).toBeNull();
    expect(between(-7_500, 200, 6_000)).toMatchObject({ direction: 'back' });
  });

  it('takes a drift of a thousandth over a long pause for no step', () => {
    expect(between(-4_500, 3_600_000)).toBeNull();
    expect(between(-5_000, 3_600_000)).toMatchObject({ direction: 'back' });
  });

  it('finds each step once', () => {
    const watch = new ClockWatch();
    const seen = [0, 200, -9_800, -9_600, 400].map((timeMs, i) =>
      watch.see(T0 + timeMs, trip(1_000 + 200 * i)),
    );
    expect(seen.map((jump) => jump?.direction ?? null)).toEqual([
      ...[null, null, 'back', null, 'forward'],
    ]);
  });
});
