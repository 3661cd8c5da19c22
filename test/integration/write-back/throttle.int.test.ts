import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { openThrottle } from '../../../services/restorer/src/write-back/throttle/open-throttle.ts';
import { startRedis } from '../../support/redis-server.ts';

/** How often the server was probed; each probe but the last has had its answer. */
async function pingsOf(client: Redis): Promise<number> {
  const [, calls = '0'] = /cmdstat_ping:calls=(\d+)/.exec(await client.info('commandstats')) ?? [];
  return Number(calls);
}

describe('openThrottle()', () => {
  it('notices a server that others slow down, and that it has become quick again', async () => {
    await using server = await startRedis({ aof: false });
    const client = await server.connect();
    const address = { host: '127.0.0.1', port: server.port };
    const { signal } = new AbortController();
    await using throttle = await openThrottle(address, {
      ...{ clock: systemClock, latencyMaxMs: 100, rate: null, signal },
    });
    // The shortest time seen is that of the way: the server has to have been quick before it is slow.
    const before = await pingsOf(client);
    await expect.poll(() => pingsOf(client), { timeout: 60_000 }).toBeGreaterThan(before + 5);
    for (let i = 0; i < 20; i++) throttle.note(1);
    const busy = new AbortController();
    const slow = (async () => {
      while (!busy.signal.aborted) await client.call('DEBUG', 'SLEEP', '0.4');
    })();
    await expect.poll(() => throttle.window, { timeout: 60_000 }).toBeLessThan(8);
    busy.abort();
    await slow;
    // A probe that is quick says nothing about batches: those make the window grow.
    const grown = (): number => {
      throttle.note(1);
      return throttle.window;
    };
    await expect.poll(grown, { timeout: 60_000 }).toBeGreaterThan(30);
  });

  it('leaves no connection behind, and a server that is gone is no error of its own', async () => {
    await using server = await startRedis({ aof: false });
    const client = await server.connect();
    const address = { host: '127.0.0.1', port: server.port };
    const { signal } = new AbortController();
    const options = { clock: systemClock, latencyMaxMs: 5, rate: null, signal };
    const throttle = await openThrottle(address, options);
    expect(await client.client('LIST')).toContain('name=tidemark-probe');
    await throttle[Symbol.asyncDispose]();
    await expect.poll(() => client.client('LIST')).not.toContain('name=tidemark-probe');
    await using other = await openThrottle(address, options);
    await server.kill();
    await delay(100);
    await other.take(1, 1);
  });
});
