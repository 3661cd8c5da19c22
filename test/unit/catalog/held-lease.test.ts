import { openInstanceLog, takeLease, type HeldLease, type InstanceLog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { openTestInstance } from '../../support/catalog-harness.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { LOG, LOG_KEY, START_MS } from '../../support/log-events.ts';
import { failsBefore, MemoryStore } from '../../support/memory-store.ts';

const MINUTE = 60_000;

/** A clock whose sleeps end when a test says so. */
class HandClock implements Clock {
  now = START_MS;
  #wake: (() => void) | null = null;
  nowMs(): number {
    return this.now;
  }
  monotonicMs(): number {
    return this.now;
  }
  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    // A pause before another try is over at once.
    if (delayMs < MINUTE) return;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
  async pass(ms: number): Promise<void> {
    this.now += ms;
    this.#wake?.();
    for (let i = 0; i < 50; i++) await new Promise(setImmediate);
  }
}

let store: MemoryStore;
let clock: HandClock;
let log: InstanceLog;
const lost: string[] = [];
beforeEach(async () => {
  store = new MemoryStore();
  clock = new HandClock();
  lost.length = 0;
  await openTestInstance(store);
  const ports = { store, iid: LOG.iid, logKey: LOG_KEY, clock };
  log = await openInstanceLog({ ...ports, random: seededRandom('looker') });
});

const take = (over: MemoryStore = store): Promise<HeldLease> =>
  takeLease({
    ...{ store: over, iid: LOG.iid, logKey: LOG_KEY, clock, random: seededRandom('reader') },
    ...{ purpose: 'restore', fromSecond: 7, known: log.state, retry: { attempts: 1 } },
    onLost: ({ code }) => void lost.push(code),
  });

async function leases(): Promise<typeof log.state.leases> {
  await log.catchUp();
  return log.state.leases;
}

describe('takeLease()', () => {
  it('holds history from a second on until it is disposed', async () => {
    const lease = await take();
    expect(await leases()).toMatchObject([
      { purpose: 'restore', fromSecond: 7, untilMs: START_MS + 30 * MINUTE },
    ]);
    await lease[Symbol.asyncDispose]();
    expect(await leases()).toEqual([]);
  });

  it('is renewed every ten minutes, and ends by itself once nobody does', async () => {
    const lease = await take();
    await clock.pass(10 * MINUTE);
    expect(await leases()).toMatchObject([{ untilMs: START_MS + 40 * MINUTE }]);
    await clock.pass(10 * MINUTE);
    expect(await leases()).toMatchObject([{ untilMs: START_MS + 50 * MINUTE }]);
    await lease[Symbol.asyncDispose]();
  });

  it('says once that it cannot be renewed, and is renewed once the store is back', async () => {
    let isDown = false;
    const faulty = store.through(({ op, key }) =>
      isDown && op === 'put' ? failsBefore(key) : undefined,
    );
    const lease = await take(faulty);
    isDown = true;
    await clock.pass(10 * MINUTE);
    await clock.pass(10 * MINUTE);
    expect(lost).toEqual(['TM_STORE_IO']);
    isDown = false;
    await clock.pass(10 * MINUTE);
    expect(await leases()).toMatchObject([{ untilMs: START_MS + 60 * MINUTE }]);
    isDown = true;
    await clock.pass(10 * MINUTE);
    expect(lost).toEqual(['TM_STORE_IO']);
    await lease[Symbol.asyncDispose]();
    expect(await leases()).toHaveLength(1);
  });

  it('is refused by a store that takes no writes', async () => {
    const readOnly = store.through(({ op, key }) => (op === 'put' ? failsBefore(key) : undefined));
    await expect(take(readOnly)).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(await leases()).toEqual([]);
  });
});
