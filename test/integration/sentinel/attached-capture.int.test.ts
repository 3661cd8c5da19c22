import { connectNode } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import {
  roleOf,
  seenReplicas,
  SentinelSet,
  waitUntil,
  type SeenFields,
} from '../../support/sentinel-set/sentinel-set.ts';
import { describeWithServer } from '../../support/servers.ts';

/** The entry that a Sentinel has of a capture: it announces no port. */
const isCapture = (replica: SeenFields): boolean => replica.get('port') === '0';

for (const [product, line] of [
  ['redis', '7.0'],
  ['valkey', '9.1'],
] as const) {
  describeWithServer(product, line, 'a capture attached to a Sentinel set', ({ binary }) => {
    it('is never elected, stands in the way of no failover and is not counted by WAIT', async () => {
      await using set = await SentinelSet.start({ binary, nodes: 2, sentinels: 1 });
      const [primary, replica] = [set.node(0), set.node(1)];
      await using link = await linkTo(primary.port);
      await takeSnapshot(link);
      const taker = new StreamTaker(link);
      await using sentinel = await set.sentinel(0).connect();
      await waitUntil('the Sentinel sees it', async () =>
        (await seenReplicas(sentinel)).some(isCapture),
      );
      await using client = await connectNode({ host: '127.0.0.1', port: primary.port });
      await client.call('SET', 'k', 'v');
      // One real replica, however long one waits for a second.
      expect(await client.call('WAIT', 1, 20_000)).toBe(1);
      expect(await client.call('WAIT', 2, 300)).toBe(1);
      await using locator = set.locator({ preferReplica: true });
      expect((await locator.locate()).port).toBe(replica.port);
      await set.failover();
      expect(await set.newPrimary(primary)).toBe(replica);
      await taker.ended; // its master became a replica and closed the link
      await waitUntil('the old primary follows', async () => (await roleOf(primary)) === 'slave');
      await set.settled();
    });
  });
}

describe('a capture attached to a primary alone with its replica', () => {
  it('is not chosen by FAILOVER', async () => {
    await using set = await SentinelSet.start({ nodes: 2, sentinels: 0 });
    const [primary, replica] = [set.node(0), set.node(1)];
    await using link = await linkTo(primary.port);
    await takeSnapshot(link);
    const taker = new StreamTaker(link);
    await using client = await connectNode({ host: '127.0.0.1', port: primary.port });
    await client.call('SET', 'k', 'v');
    await client.call('FAILOVER');
    await waitUntil('the replica leads', async () => (await roleOf(replica)) === 'master');
    await waitUntil('the old primary follows', async () => (await roleOf(primary)) === 'slave');
    await taker.ended;
  });
});
