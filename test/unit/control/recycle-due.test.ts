import type { Clock } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { DueWatch, type LogHead } from '../../../services/control/src/recycle/due-watch.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const UNTIL_MS = 38 * DAY_MS;

/** A host: its wall clock may be wrong, what passes is not. */
function host(wallMs: number): {
  readonly watch: DueWatch;
  readonly pass: (ms: number) => void;
  readonly step: (ms: number) => void;
  readonly nowMs: () => number;
} {
  let [passed, wrong] = [0, 0];
  const nowMs = (): number => wallMs + passed + wrong;
  const clock: Clock = { nowMs, monotonicMs: () => passed, sleep: () => Promise.resolve() };
  const pass = (ms: number): void => void (passed += ms);
  return { watch: new DueWatch(clock), pass, step: (ms) => void (wrong += ms), nowMs };
}

const due = (
  dueSinceMs?: number,
): { instance: string; untilMs: number; dueSinceMs: number | undefined } => ({
  ...{ instance: 'orders', untilMs: UNTIL_MS, dueSinceMs },
});
const head = (seq: number, lastEntryMs: number | null): LogHead => ({
  log: 'other/s0/w1',
  state: { seq, lastEntryMs },
});

describe('an instance that is due by the clock of a host', () => {
  it('is destroyed a day after that was said, and no sooner', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), [])).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS - 1);
    expect(watch.look(due(saidMs), [])).toBe('wait');
    pass(1);
    expect(watch.look(due(saidMs), [])).toBe('destroy');
  });

  it('is not destroyed when the clock alone makes a day of a moment', () => {
    const { watch, step, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), [])).toBe('say');
    const saidMs = nowMs();
    step(40 * DAY_MS);
    expect(watch.look(due(saidMs), [])).toBe('wait');
  });

  it('is seen for an hour by a process that was started later', () => {
    const { watch, pass } = host(UNTIL_MS + 2 * DAY_MS);
    expect(watch.look(due(UNTIL_MS), [])).toBe('wait');
    pass(HOUR_MS);
    expect(watch.look(due(UNTIL_MS), [])).toBe('destroy');
  });

  it.each([
    ['after now', UNTIL_MS + 9 * DAY_MS],
    ['before its end', UNTIL_MS - 1],
  ])('is said anew when that was said %s', (_, saidMs) => {
    const { watch, pass } = host(UNTIL_MS + DAY_MS);
    pass(2 * DAY_MS);
    expect(watch.look(due(saidMs), [])).toBe('say');
  });

  it('is kept while those that write to the store say that its time is not over', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), [head(7, DAY_MS)])).toBe('say');
    const saidMs = nowMs();
    pass(2 * DAY_MS);
    expect(watch.look(due(saidMs), [head(8, 3 * DAY_MS)])).toBe('doubt');
    expect(watch.look(due(saidMs), [head(9, UNTIL_MS + 2 * DAY_MS)])).toBe('destroy');
  });

  it('is not kept for a log that nobody writes to', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    const idle = [head(7, DAY_MS), { ...head(-1, null), log: 'orders/s0/w1' }];
    expect(watch.look(due(), idle)).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS);
    expect(watch.look(due(saidMs), idle)).toBe('destroy');
  });

  it('waits for a whole day again when it was taken back meanwhile', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), [])).toBe('say');
    pass(DAY_MS);
    watch.forget('orders');
    expect(watch.look(due(), [])).toBe('say');
    const saidMs = nowMs();
    pass(HOUR_MS);
    expect(watch.look(due(saidMs), [])).toBe('wait');
  });
});
