import { createInstance, openInstanceLog, type InstanceLog } from '@tidemark/catalog';
import type { ObjectStore, StoreCapabilities } from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import { tryStore } from '../../../services/archiver/src/store-trial.ts';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { LOG, LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const GOOD: StoreCapabilities = {
  ...{ conditionalCreate: true, multipartConditional: 'holds', ranges: true },
  ...{ listingOrdered: true, objectLock: null, versioning: false, warnings: [] },
};

/** A store that says of itself what it does, as those behind a server do. */
class TriedStore extends MemoryStore {
  found: StoreCapabilities | Error;
  trials = 0;

  constructor(found: StoreCapabilities | Error) {
    super();
    this.found = found;
  }

  probe(): Promise<StoreCapabilities> {
    this.trials++;
    return this.found instanceof Error ? Promise.reject(this.found) : Promise.resolve(this.found);
  }
}

const ports = { clock: standingClock(START_MS), random: seededRandom('trial') };
const options = (store: ObjectStore): Parameters<typeof openInstanceLog>[0] => ({
  ...{ store, iid: LOG.iid, logKey: LOG_KEY },
  ...ports,
});
const logOf = (store: ObjectStore): Promise<InstanceLog> =>
  createInstance({ ...options(store), name: 'orders', createdMs: START_MS });
const reopened = async (store: ObjectStore): Promise<InstanceLog['state']> =>
  (await openInstanceLog(options(store))).state;

describe('tryStore()', () => {
  it('records what was found, once for a process and once as long as it stays', async () => {
    const store = new TriedStore(GOOD);
    const log = await logOf(store);
    await tryStore(log, { store, ...ports });
    await tryStore(log, { store, ...ports });
    expect(store.trials).toBe(1);
    expect(await reopened(store)).toMatchObject({ seq: 1, store: { url: store.url, ...GOOD } });
  });

  it('records it anew where it is another', async () => {
    const store = new TriedStore(GOOD);
    const log = await logOf(store);
    await tryStore(log, { store, ...ports });
    const warnings = Array.from({ length: 40 }, (_, i) => `warning ${i} ${'x'.repeat(500)}`);
    const other = Object.assign(new TriedStore({ ...GOOD, warnings }), { url: store.url });
    await tryStore(log, { store: other, ...ports });
    const state = await reopened(store);
    expect(state.seq).toBe(2);
    expect(state.store?.warnings).toHaveLength(16);
  });

  it('refuses a store in which two could win, and records nothing', async () => {
    for (const [found, code] of [
      [{ ...GOOD, conditionalCreate: false }, 'TM_STORE_FENCING'],
      [{ ...GOOD, ranges: false }, 'TM_STORE_REFUSED'],
      [{ ...GOOD, listingOrdered: false }, 'TM_STORE_REFUSED'],
    ] as const) {
      const store = new TriedStore(found);
      const log = await logOf(store);
      expect(await rejection(tryStore(log, { store, ...ports }))).toMatchObject({ code });
      expect((await reopened(store)).seq).toBe(0);
    }
  });

  it('tries again what could not be tried', async () => {
    const store = new TriedStore(new Error('away'));
    const log = await logOf(store);
    await expect(tryStore(log, { store, ...ports })).rejects.toThrow('away');
    store.found = GOOD;
    await tryStore(log, { store, ...ports });
    expect((await reopened(store)).store).toMatchObject(GOOD);
  });

  it('does not try a store that is no server', async () => {
    const store = new MemoryStore();
    const log = await logOf(store);
    await tryStore(log, { store, ...ports });
    expect(await reopened(store)).toMatchObject({ seq: 0, store: null });
  });
});
