import { join } from 'node:path';
import type { Clock } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  DueWatch,
  type DueInstance,
  type LogHead,
  type Witnesses,
} from '../../../services/control/src/recycle/due-watch.ts';
import { WatchedTime } from '../../../services/control/src/recycle/watched-time.ts';
import { StateDatabase } from '../../../services/control/src/state/database.ts';
import { QUIET } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

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

const due = (dueSinceMs?: number): DueInstance => ({
  ...{ instance: 'orders', sinceMs: 0, untilMs: UNTIL_MS, dueSinceMs },
});
/** A folder, and a host that saw all of the time. */
const seen = (...heads: readonly LogHead[]): Witnesses => ({
  ...{ heads, storeMs: null, watchedMs: UNTIL_MS },
});
const store = (storeMs: number): Witnesses => ({ heads: [], storeMs, watchedMs: UNTIL_MS });
const head = (seq: number, lastEntryMs: number | null): LogHead => ({
  log: 'other/s0/w1',
  state: { seq, lastEntryMs },
});

describe('an instance that is due by the clock of a host', () => {
  it('is destroyed a day after that was said, and no sooner', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), seen())).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS - 1);
    expect(watch.look(due(saidMs), seen())).toBe('wait');
    pass(1);
    expect(watch.look(due(saidMs), seen())).toBe('destroy');
  });

  it('is not destroyed when the clock alone makes a day of a moment', () => {
    const { watch, step, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), seen())).toBe('say');
    const saidMs = nowMs();
    step(40 * DAY_MS);
    expect(watch.look(due(saidMs), seen())).toBe('wait');
  });

  it('is seen for an hour by a process that was started later', () => {
    const { watch, pass } = host(UNTIL_MS + 2 * DAY_MS);
    expect(watch.look(due(UNTIL_MS), seen())).toBe('wait');
    pass(HOUR_MS);
    expect(watch.look(due(UNTIL_MS), seen())).toBe('destroy');
  });

  it.each([
    ['after now', UNTIL_MS + 9 * DAY_MS],
    ['before its end', UNTIL_MS - 1],
  ])('is said anew when that was said %s', (_, saidMs) => {
    const { watch, pass } = host(UNTIL_MS + DAY_MS);
    pass(2 * DAY_MS);
    expect(watch.look(due(saidMs), seen())).toBe('say');
  });

  it('is kept while those that write to the store say that its time is not over', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), seen(head(7, DAY_MS)))).toBe('say');
    const saidMs = nowMs();
    pass(2 * DAY_MS);
    expect(watch.look(due(saidMs), seen(head(8, 3 * DAY_MS)))).toBe('writers');
    expect(watch.look(due(saidMs), seen(head(9, UNTIL_MS + 2 * DAY_MS)))).toBe('destroy');
  });

  it('is kept for the one writer whose clock is right, were it alone', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    const wrong = (seq: number): LogHead => ({ ...head(seq, nowMs()), log: 'users/s0/w1' });
    expect(watch.look(due(), seen(wrong(1), head(1, 2 * DAY_MS)))).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS);
    expect(watch.look(due(saidMs), seen(wrong(2), head(2, 3 * DAY_MS)))).toBe('writers');
    // Minutes do not count: no two clocks are the same.
    const minutes = seen(wrong(3), head(3, UNTIL_MS - 600_000));
    expect(watch.look(due(saidMs), minutes)).toBe('destroy');
  });

  it('is kept when it was released by a clock that was behind, whatever all clocks say now', () => {
    const released = { instance: 'orders', sinceMs: 0, untilMs: UNTIL_MS };
    const { watch, pass, nowMs } = host(60 * DAY_MS);
    const atStore = (watchedMs: number): Witnesses => ({ ...store(nowMs()), watchedMs });
    expect(watch.look({ ...released, dueSinceMs: undefined }, atStore(0))).toBe('say');
    const dueSinceMs = nowMs();
    pass(DAY_MS);
    expect(watch.look({ ...released, dueSinceMs }, atStore(DAY_MS))).toBe('unwatched');
    pass(37 * DAY_MS);
    expect(watch.look({ ...released, dueSinceMs }, atStore(UNTIL_MS))).toBe('destroy');
  });

  it('is not kept for a log that nobody writes to', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    const idle = [head(7, DAY_MS), { ...head(-1, null), log: 'orders/s0/w1' }];
    expect(watch.look(due(), seen(...idle))).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS);
    expect(watch.look(due(saidMs), seen(...idle))).toBe('destroy');
  });

  it('waits for a whole day again when it was taken back meanwhile', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    expect(watch.look(due(), seen())).toBe('say');
    pass(DAY_MS);
    watch.forget('orders');
    expect(watch.look(due(), seen())).toBe('say');
    const saidMs = nowMs();
    pass(HOUR_MS);
    expect(watch.look(due(saidMs), seen())).toBe('wait');
  });

  it('is kept when a folder is the store and nobody saw that much time pass, however long it waits', () => {
    const { watch, step, pass, nowMs } = host(DAY_MS);
    step(40 * DAY_MS);
    expect(watch.look(due(), { ...seen(), watchedMs: DAY_MS })).toBe('say');
    const saidMs = nowMs();
    for (let day = 2; day < 38; day++) {
      pass(DAY_MS);
      const unseen = { ...seen(), watchedMs: day * DAY_MS };
      expect(watch.look(due(saidMs), unseen)).toBe('unwatched');
    }
    expect(watch.look(due(saidMs), { ...seen(), watchedMs: 38 * DAY_MS })).toBe('destroy');
  });

  it('is kept, and not even called due, while the clock of the store is another one', () => {
    const { watch, step, pass, nowMs } = host(DAY_MS);
    const away = 3_653 * DAY_MS;
    step(away);
    for (let sweep = 0; sweep < 50; sweep++) {
      expect(watch.look(due(), store(nowMs() - away))).toBe('store-clock');
      expect(watch.look(due(UNTIL_MS), store(nowMs() - away))).toBe('store-clock');
      pass(HOUR_MS);
    }
    // A store whose clock is ahead destroys no more than a host.
    step(-away);
    expect(watch.look(due(UNTIL_MS), store(nowMs() + away))).toBe('store-clock');
  });

  it('is destroyed a day after it was said when the clock of the store says so too', () => {
    const { watch, pass, nowMs } = host(UNTIL_MS);
    const said = store(UNTIL_MS + 60_000);
    expect(watch.look(due(), said)).toBe('say');
    const saidMs = nowMs();
    pass(DAY_MS - HOUR_MS);
    expect(watch.look(due(saidMs), store(nowMs()))).toBe('wait');
    pass(HOUR_MS);
    expect(watch.look(due(saidMs), store(nowMs() + 660_000))).toBe('store-clock');
    // Whoever was in doubt looks for a while again.
    expect(watch.look(due(saidMs), store(nowMs()))).toBe('wait');
    pass(HOUR_MS);
    expect(watch.look(due(saidMs), store(nowMs() - 300_000))).toBe('destroy');
  });
});

describe('the time that a host saw an instance in the bin', () => {
  const one = { instance: 'orders', sinceMs: 5 };
  const clockOf = (now: { ms: number }): Clock => ({
    ...{ nowMs: () => 0, monotonicMs: () => now.ms, sleep: () => Promise.resolve() },
  });

  it('goes on over restarts, and begins anew when it is released again', async () => {
    await using dir = await TempDir.create();
    const now = { ms: 1_000 };
    const clock = clockOf(now);
    using state = StateDatabase.open({ path: join(dir.path, 'c.db'), clock, logger: QUIET });
    const first = new WatchedTime(clock, state);
    first.see([one]);
    expect(first.of('orders')).toBe(0);
    now.ms += DAY_MS;
    first.see([one]);
    // Another process: its clock counts from somewhere else.
    now.ms = 7;
    const second = new WatchedTime(clock, state);
    expect(second.of('orders')).toBe(0);
    second.see([one]);
    now.ms += HOUR_MS;
    expect(second.of('orders')).toBe(DAY_MS + HOUR_MS);
    second.see([{ ...one, sinceMs: 6 }]);
    expect(second.of('orders')).toBe(0);
    second.see([]);
    expect(second.of('orders')).toBe(0);
    second.see([one]);
    expect(second.of('orders')).toBe(0);
  });

  it('is that of one process where several look', async () => {
    await using dir = await TempDir.create();
    const now = { ms: 0 };
    const clock = clockOf(now);
    using state = StateDatabase.open({ path: join(dir.path, 'c.db'), clock, logger: QUIET });
    const all = [0, 1, 2].map(() => new WatchedTime(clock, state));
    for (let hour = 0; hour < 5; hour++) {
      for (const each of all) each.see([one]);
      now.ms += HOUR_MS;
    }
    const next = new WatchedTime(clock, state);
    next.see([one]);
    expect(next.of('orders')).toBe(4 * HOUR_MS);
  });
});
