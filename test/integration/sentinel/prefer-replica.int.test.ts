import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SentinelSet, waitUntil } from '../../support/sentinel-set/sentinel-set.ts';

describe('a locator that prefers a replica', () => {
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start({ sentinels: 1 });
  });
  afterAll(async () => {
    await set[Symbol.asyncDispose]();
  });

  it('takes the one that is never promoted, then the next, then the primary, and goes back', async () => {
    const [primary, often, never] = [set.node(0), set.node(1), set.node(2)];
    await (await never.connect()).call('CONFIG', 'SET', 'replica-priority', '0');
    await waitUntil('the Sentinel has seen the priority', async () => {
      await using probe = set.locator({ preferReplica: true });
      return (await probe.locate()).port === never.port;
    });
    await using locator = set.locator({ preferReplica: true, pollMs: 500, timeoutMs: 1_000 });
    await locator.locate();
    const moves: number[] = [];
    locator.onMoved(({ port }) => moves.push(port));
    const reaches = (port: number): Promise<void> =>
      waitUntil(`the locator moves to ${port}`, () => Promise.resolve(moves.at(-1) === port));
    await never.kill();
    await reaches(often.port);
    // Alive, but what it has is old.
    await (await often.connect()).call('REPLICAOF', '127.0.0.1', '1');
    await reaches(primary.port);
    await (await often.connect()).call('REPLICAOF', '127.0.0.1', primary.port.toString());
    await reaches(often.port);
    expect(moves).toEqual([often.port, primary.port, often.port]);
  });

  it('leaves a replica that became the primary for another replica', async () => {
    const before = await set.primary();
    await set.node(2).restart();
    await (await set.node(2).connect()).call('REPLICAOF', '127.0.0.1', before.port.toString());
    await set.settled();
    await using locator = set.locator({ preferReplica: true, pollMs: 500 });
    const followed = set.nodeAt((await locator.locate()).port);
    const other = set.nodes.find((node) => node !== before && node !== followed)!;
    const moves: number[] = [];
    locator.onMoved(({ port }) => moves.push(port));
    // Now only the one that is followed can be promoted; alone, that is no reason to leave it.
    await (await other.connect()).call('CONFIG', 'SET', 'replica-priority', '0');
    await waitUntil('the Sentinel has seen the priority', async () => {
      await using probe = set.locator({ preferReplica: true });
      return (await probe.locate()).port === other.port;
    });
    expect(moves).toEqual([]);
    await set.failover();
    expect(await set.newPrimary(before)).toBe(followed);
    await waitUntil('the locator leaves the new primary', () =>
      Promise.resolve(moves.length > 0 && moves.at(-1) !== followed.port),
    );
  });
});
