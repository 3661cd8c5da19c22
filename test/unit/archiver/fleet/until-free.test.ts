import { describe, expect, it } from 'vitest';
import { EMPTY_WRITER_STATE, type WriterOwner, type WriterState } from '@tidemark/catalog';
import { untilFree, type WatchedLog } from '../../../../services/archiver/src/fleet/until-free.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const HEARTBEAT_MS = 5_000;
const START_MS = 1_800_000_000_000;

const OWNER: WriterOwner = {
  ...{ generation: 3, ownerId: 'other', atMs: START_MS, tookOver: false, released: false },
};

/** A log whose owner appends every 5 s until it dies, with a clock that goes wrong by `skewMs`. */
function logOf(
  clock: SteppingClock,
  { diesMs, skewMs = 0, owner = OWNER }: { diesMs: number; skewMs?: number; owner?: WriterOwner },
): WatchedLog {
  const stateAt = (): WriterState => {
    const aliveMs = Math.min(clock.now, diesMs) - START_MS;
    const beats = Math.floor(aliveMs / HEARTBEAT_MS);
    const lastEntryMs = START_MS + beats * HEARTBEAT_MS + skewMs;
    return { ...EMPTY_WRITER_STATE, owner, seq: beats, lastEntryMs };
  };
  const log = { state: stateAt(), catchUp: () => Promise.resolve() };
  return {
    get state() {
      return log.state;
    },
    catchUp() {
      log.state = stateAt();
      return Promise.resolve();
    },
  };
}

function wait(log: WatchedLog, clock: SteppingClock): Promise<boolean> {
  const { signal } = new AbortController();
  return untilFree(log, {
    ...{ ownerId: 'me', heartbeatMs: HEARTBEAT_MS, clock, signal },
    random: seededRandom('until-free'),
    onWaiting: () => undefined,
  });
}

describe('a log that another host may take over', () => {
  it("is free at once when it was released, or is this host's own", async () => {
    const clock = steppingClock(START_MS);
    const released = { ...OWNER, released: true };
    const mine = { ...OWNER, ownerId: 'me' };
    expect(await wait(logOf(clock, { diesMs: START_MS, owner: released }), clock)).toBe(false);
    expect(await wait(logOf(clock, { diesMs: START_MS, owner: mine }), clock)).toBe(false);
    expect(clock.now).toBe(START_MS);
  });

  it('is not taken from an owner that shows life, however long it is waited for', async () => {
    const clock = steppingClock(START_MS);
    const diesMs = START_MS + 600_000;
    expect(await wait(logOf(clock, { diesMs }), clock)).toBe(true);
    expect(clock.now).toBeGreaterThanOrEqual(diesMs + 2 * HEARTBEAT_MS);
  });

  it('is taken three heartbeats after the last entry of one that died before', async () => {
    const clock = steppingClock(START_MS + 13_000);
    expect(await wait(logOf(clock, { diesMs: START_MS + 2_000 }), clock)).toBe(true);
    const silentMs = clock.now - START_MS;
    expect(silentMs).toBeGreaterThanOrEqual(3 * HEARTBEAT_MS);
    expect(silentMs).toBeLessThan(3 * HEARTBEAT_MS + 7_500);
  });

  it('is not taken for one late entry by a host whose clock is ahead', async () => {
    const clock = steppingClock(START_MS);
    // Its third entry is 5 s late, and its clock is 20 s behind.
    const beats = (): number => {
      const passed = clock.now - START_MS;
      return Math.floor((passed < 20_000 ? Math.min(passed, 14_999) : passed) / HEARTBEAT_MS);
    };
    const stateNow = (): WriterState => {
      const seq = clock.now < START_MS + 60_000 ? beats() : 12;
      const lastEntryMs = START_MS + seq * HEARTBEAT_MS - 20_000;
      return { ...EMPTY_WRITER_STATE, owner: OWNER, seq, lastEntryMs };
    };
    const log = {
      get state() {
        return stateNow();
      },
      catchUp: () => Promise.resolve(),
    };
    expect(await wait(log, clock)).toBe(true);
    expect(clock.now).toBeGreaterThanOrEqual(START_MS + 60_000 + 3 * HEARTBEAT_MS - 5_000);
  });

  it.each([-3_600_000, 3_600_000])(
    'is taken by what was seen alone where the clocks of two hosts differ by %i ms',
    async (skewMs) => {
      const clock = steppingClock(START_MS);
      const diesMs = START_MS + 60_000;
      expect(await wait(logOf(clock, { diesMs, skewMs }), clock)).toBe(true);
      expect(clock.now).toBeGreaterThan(diesMs);
      expect(clock.now).toBeLessThan(diesMs + 3 * HEARTBEAT_MS + 2_000);
    },
  );
});
