import type { NodeLocator } from '@tidemark/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  roleOf,
  SentinelSet,
  waitUntil,
  type SetNode,
} from '../../support/sentinel-set/sentinel-set.ts';

/** Where a locator has moved to, in order. */
function movesOf(locator: NodeLocator): number[] {
  const ports: number[] = [];
  locator.onMoved(({ port }) => ports.push(port));
  return ports;
}

async function followsTo(moves: readonly number[], node: SetNode): Promise<number> {
  const begin = performance.now();
  await waitUntil('the locator moves', () => Promise.resolve(moves.at(-1) === node.port));
  return performance.now() - begin;
}

describe('a locator of a Sentinel set', () => {
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start();
  });
  afterAll(async () => {
    await set[Symbol.asyncDispose]();
  });

  it('moves within seconds of a graceful failover', async () => {
    await using locator = set.locator();
    expect(await locator.locate()).toEqual({ host: '127.0.0.1', port: set.node(0).port });
    const moves = movesOf(locator);
    await set.failover();
    const after = await set.newPrimary(set.node(0));
    // Not the next poll: a message of a Sentinel.
    expect(await followsTo(moves, after)).toBeLessThan(30_000);
    expect(locator.latest).toEqual({ host: '127.0.0.1', port: after.port });
    expect(await locator.locate()).toEqual(locator.latest);
    expect(moves).toEqual([after.port]);
    await set.settled();
  });

  it('hears of a change from another Sentinel when the one it listens to is gone', async () => {
    const before = await set.primary();
    await using locator = set.locator({ pollMs: 600_000 });
    await locator.locate();
    const moves = movesOf(locator);
    await waitUntil('a Sentinel is listened to', async () => (await listened(set)) >= 0);
    const gone = set.sentinel(await listened(set));
    await gone.kill();
    await waitUntil('another one is listened to', async () => (await listened(set)) >= 0);
    await gone.restart();
    await set.failover();
    await followsTo(moves, await set.newPrimary(before));
    await set.settled();
  });

  it('follows a killed primary to its successor, and is not taken in when it is back', async () => {
    const before = await set.primary();
    await using locator = set.locator();
    await locator.locate();
    const moves = movesOf(locator);
    await before.kill();
    await expect(set.locator({ settleMs: 0 }).locate()).rejects.toMatchObject({
      code: 'TM_SENTINEL_STALE',
      retryable: true,
      context: { node: `redis://127.0.0.1:${before.port}` },
    });
    const after = await set.newPrimary(before);
    await followsTo(moves, after);
    await before.restart();
    // It takes itself for a primary until the Sentinels make it a replica.
    await waitUntil('the old primary is a replica', async () => {
      expect((await locator.locate()).port).toBe(after.port);
      return (await roleOf(before)) === 'slave';
    });
    expect(moves).toEqual([after.port]);
    await set.settled();
  });

  it('goes by the majority while an old primary is cut off, and after it is back', async () => {
    const before = await set.primary();
    await using locator = set.locator({ timeoutMs: 1_000 });
    await locator.locate();
    const moves = movesOf(locator);
    set.pause(before);
    const cutOff = set.sentinel(2);
    set.pause(cutOff);
    const [first, second] = [set.sentinel(0), set.sentinel(1)];
    const after = await set.newPrimary(before, [first, second]);
    await followsTo(moves, after);
    // Two that both claim: the Sentinel that slept still names the old one.
    set.resume(before);
    set.resume(cutOff);
    await using late = set.locator({ sentinels: [cutOff.address, first.address, second.address] });
    expect((await late.locate()).port).toBe(after.port);
    await set.settled();
    expect(moves).toEqual([after.port]);
  });

  it('leaves a primary that was made a replica behind the back of the Sentinels', async () => {
    const before = await set.primary();
    const successor = set.nodes.find((node) => node !== before)!;
    await using locator = set.locator();
    await locator.locate();
    const moves = movesOf(locator);
    const client = await before.connect();
    await client.call('FAILOVER', 'TO', '127.0.0.1', successor.port.toString());
    await waitUntil('FAILOVER is done', async () => (await roleOf(before)) === 'slave');
    expect((await locator.locate()).port).toBe(successor.port);
    await followsTo(moves, successor);
  });
});

/** Which Sentinel is listened to, those left out that are gone; -1: none. */
async function listened(set: SentinelSet): Promise<number> {
  for (const [index, sentinel] of set.sentinels.entries()) {
    const client = await sentinel.connect().catch(() => null);
    if (client === null) continue;
    await using open = client;
    if (String(await open.call('CLIENT', 'LIST')).includes('name=tidemark-watch')) return index;
  }
  return -1;
}
