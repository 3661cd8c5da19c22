import { createInstance, openInstanceLog, type InstanceLog } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { openKnownLog } from '../../../services/archiver/src/known-logs.ts';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { LOG, LOG_KEY, START_MS } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const options = (store: MemoryStore) => ({
  ...{ store, iid: LOG.iid, logKey: LOG_KEY },
  ...{ clock: standingClock(START_MS), random: seededRandom('known logs') },
});

async function add(log: InstanceLog, count: number): Promise<void> {
  for (let each = 0; each < count; each++) {
    const policy = { days: ['mon'], hours: ['03:00'], retainSeconds: each + 1 } as const;
    await log.append(() => ({ type: 'PolicySet', policy, atMs: START_MS }));
  }
}

async function created(store: MemoryStore): Promise<InstanceLog> {
  return createInstance({ ...options(store), name: 'orders', createdMs: START_MS });
}

describe('openKnownLog()', () => {
  it('reads no entry a second time in one process, through a store that counts too', async () => {
    const store = new MemoryStore();
    const log = await created(store);
    await add(log, 100);
    expect((await openKnownLog(options(store))).state).toEqual(log.state);
    await add(log, 3);
    const counting = store.through();
    const again = await openKnownLog(options(counting), store);
    expect(again.state).toEqual((await openInstanceLog(options(store))).state);
    // One for the last entry known, three new ones, and a look or more for the end.
    expect(counting.calls.length).toBeLessThan(16);
    // What one of them appends the next one knows.
    await add(again, 1);
    const third = store.through();
    expect((await openKnownLog(options(third), store)).state).toEqual(again.state);
    expect(third.calls.length).toBeLessThan(10);
  });

  it('reads a log from its beginning that was set back or begun anew under it', async () => {
    const store = new MemoryStore();
    await add(await created(store), 10);
    await openKnownLog(options(store));
    const entries = store.keys().filter((key) => !key.endsWith('/record'));
    const last = entries.at(-1) ?? '';
    const whole = store.objects.get(last) ?? Buffer.alloc(0);
    store.tamper(last, null);
    expect((await openKnownLog(options(store))).state.seq).toBe(9);
    store.tamper(last, whole);
    expect((await openKnownLog(options(store))).state.seq).toBe(10);
    for (const key of store.keys()) store.tamper(key, null);
    const anew = await created(store);
    await add(anew, 1);
    expect((await openKnownLog(options(store))).state).toEqual(anew.state);
  });
});
