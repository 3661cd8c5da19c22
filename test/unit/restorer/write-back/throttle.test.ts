import { describe, expect, it } from 'vitest';
import { LatencyThrottle } from '../../../../services/restorer/src/write-back/throttle/latency-throttle.ts';
import { parseRateLimit } from '../../../../services/restorer/src/write-back/throttle/rate-limit.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const NEVER = new AbortController().signal;

function throttleOf(
  clock: SteppingClock,
  options: { latencyMaxMs?: number; rate?: string } = {},
): LatencyThrottle {
  return new LatencyThrottle({
    clock,
    latencyMaxMs: options.latencyMaxMs ?? 5,
    rate: options.rate === undefined ? null : parseRateLimit(options.rate),
    signal: NEVER,
  });
}

describe('LatencyThrottle', () => {
  it('grows its window by a few while the latency is under the bound, up to 128', () => {
    const throttle = throttleOf(steppingClock(0));
    const first = throttle.window;
    throttle.note(1);
    expect(throttle.window - first).toBe(4);
    for (let i = 0; i < 1_000; i++) throttle.note(5);
    expect(throttle.window).toBe(128);
  });

  it.each([
    ['60ops', 6, Infinity],
    ['5ops', 1, Infinity],
    ['900ops,2KB/s', 90, 200],
    ['1MB/s', 128, 100_000],
  ])('of %s gives no larger batches than come in a tenth of a second', (rate, window, bytes) => {
    const throttle = throttleOf(steppingClock(0), { rate });
    for (let i = 0; i < 1_000; i++) throttle.note(1);
    expect([throttle.window, throttle.batchBytes]).toEqual([window, bytes]);
  });

  it('halves its window at each latency over the bound, and never comes below one command', () => {
    const throttle = throttleOf(steppingClock(0));
    for (let i = 0; i < 1_000; i++) throttle.note(1);
    const sizes = Array.from({ length: 11 }, () => {
      throttle.probed(5.1);
      return throttle.window;
    });
    // The first probe is the way itself: nothing shorter was seen.
    throttle.probed(0.05);
    expect(sizes.every((size) => size === 128)).toBe(true);
    for (const expected of [64, 32, 16, 8, 4, 2, 1, 1]) {
      throttle.note(5.1);
      expect(throttle.window).toBe(expected);
    }
  });

  it('pauses when even single commands take too long, and ends the pauses when they do not', async () => {
    const clock = steppingClock(0);
    const throttle = throttleOf(clock);
    throttle.probed(0.1);
    for (let i = 0; i < 60; i++) throttle.note(50);
    await throttle.take(1, 1);
    expect(clock.pauses).toEqual([200]);
    for (let i = 0; i < 20; i++) throttle.note(1);
    await throttle.take(1, 1);
    expect(clock.pauses).toHaveLength(1);
    expect(throttle.window).toBeGreaterThan(1);
  });

  it('does not count the way to the server, which no restraint makes shorter', () => {
    const throttle = throttleOf(steppingClock(0));
    throttle.probed(20);
    const { window } = throttle;
    throttle.note(24);
    expect(throttle.window).toBeGreaterThan(window);
    throttle.note(26);
    expect(throttle.window).toBeLessThan(window);
  });

  it('does not count the time that many bytes take on their way', async () => {
    const throttle = throttleOf(steppingClock(0));
    const { window } = throttle;
    await throttle.take(1, 1_000_000);
    throttle.note(24);
    expect(throttle.window).toBeGreaterThan(window);
    await throttle.take(1, 1_000_000);
    throttle.note(26);
    expect(throttle.window).toBeLessThan(window);
    // Each batch is told of for itself.
    throttle.note(6);
    expect(throttle.window).toBeLessThan(window / 2);
  });

  it('lets a batch larger than the window wait for the batches that it stands for', async () => {
    const clock = steppingClock(0);
    const throttle = throttleOf(clock);
    await throttle.take(throttle.window * 3, 1);
    expect(clock.pauses).toEqual([10]);
    // What goes around a batch is none of its own.
    await throttle.take(throttle.window + 2, 1);
    expect(clock.pauses).toEqual([10]);
  });

  it.each([
    ['commands', '1000ops', 100, 1],
    ['bytes', '1000B/s', 1, 100],
  ])('keeps a limit of %s over any time', async (_, rate, commands, bytes) => {
    const clock = steppingClock(0);
    const throttle = throttleOf(clock, { rate, latencyMaxMs: 0 });
    for (let i = 0; i < 300; i++) throttle.note(0);
    for (let i = 0; i < 100; i++) await throttle.take(commands, bytes);
    // 10,000 of them at 1,000 a second, the first tenth of a second at once.
    expect(clock.now).toBeCloseTo(9_900, 5);
  });

  it('gives what a batch larger than the bucket takes, and waits for the debt before the next', async () => {
    const clock = steppingClock(0);
    const throttle = throttleOf(clock, { rate: '100B/s' });
    await throttle.take(1, 1_000);
    expect(clock.now).toBe(0);
    await throttle.take(1, 1);
    expect(clock.now).toBeCloseTo(9_910, 5);
  });

  it('stops waiting when it is aborted', async () => {
    const abort = new AbortController();
    const throttle = new LatencyThrottle({
      clock: steppingClock(0),
      latencyMaxMs: 5,
      rate: null,
      signal: abort.signal,
    });
    abort.abort(new Error('stop'));
    await expect(throttle.take(1, 1)).rejects.toThrow('stop');
  });
});

describe('parseRateLimit()', () => {
  it.each([
    ['5000ops', 5_000, null],
    ['5000ops/s', 5_000, null],
    ['20MB/s', null, 20e6],
    ['1MiB', null, 1_048_576],
    ['5000ops,20MB/s', 5_000, 20e6],
    ['20MB/s|5000ops', 5_000, 20e6],
  ])('reads %s', (text, commandsPerSecond, bytesPerSecond) => {
    expect(parseRateLimit(text)).toEqual({ commandsPerSecond, bytesPerSecond });
  });

  it.each(['', '0ops', '5000', '5ops,6ops', '1MB/s,2MB/s', '-1ops', '1e3ops', '5 ops', '999999TB'])(
    'refuses %j',
    (text) => {
      expect(() => parseRateLimit(text)).toThrow(expect.objectContaining({ code: 'TM_USAGE' }));
    },
  );
});
