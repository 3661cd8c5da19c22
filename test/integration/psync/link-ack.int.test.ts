import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import { serverBinaries, type ServerBinary } from '../../support/servers.ts';

const REPL_TIMEOUT_S = 5;

const start = (server: ServerBinary): Promise<RedisServer> =>
  startRedis({
    binary: server.binary,
    aof: false,
    config: { 'repl-timeout': String(REPL_TIMEOUT_S), 'repl-ping-replica-period': '2' },
  });

const replication = async (client: Redis, name: string): Promise<string> =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(await client.info('replication'))?.[1] ?? '';

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!(await test())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`);
    await systemClock.sleep(50);
  }
}

/** A server whose offset moves: before its first replica it counts no bytes at all. */
async function giveHistory(node: RedisServer): Promise<void> {
  await using first = await linkTo(node.port, { snapshotOnly: true });
  await takeSnapshot(first);
  const client = await node.connect();
  await client.set('history', 'begun');
  expect(Number(await replication(client, 'master_repl_offset'))).toBeGreaterThan(0);
}

describe('a link to every server', () => {
  it('is no replica to WAIT and FAILOVER, and outlives repl-timeout', async () => {
    // They wait for seconds to pass, all at the same time.
    const checks = serverBinaries().map(async (server) => {
      await checkServer(server).catch((cause: unknown) => {
        throw new Error(server.name, { cause });
      });
    });
    const failed = (await Promise.allSettled(checks)).filter(({ status }) => status === 'rejected');
    expect(failed).toEqual([]);
  });
});

async function checkServer(server: ServerBinary): Promise<void> {
  await using node = await start(server);
  await using replica = await start(server);
  await giveHistory(node);
  const [client, early, r] = [await node.connect(), await node.connect(), await replica.connect()];
  await early.set('early', 1);
  await using link = await linkTo(node.port);
  const attachedMs = performance.now();
  await takeSnapshot(link);
  const taker = new StreamTaker(link);
  await client.set('late', 1);
  await taker.until(BigInt(await replication(client, 'master_repl_offset')));

  // A client that wrote before, and one that wrote since; longer than two ACKs take.
  expect(await early.call('WAIT', 1, 100)).toBe(0);
  expect(await client.call('WAIT', 1, 2500)).toBe(0);
  expect(await replication(client, 'slave0')).toMatch(
    /^ip=127.0.0.1,port=0,state=online,offset=0,/,
  );
  // What docs/promises.md says of min-replicas-to-write: it counts every link that is alive.
  await client.config('SET', 'min-replicas-to-write', '1');
  expect(await client.set('late', 2)).toBe('OK');
  await client.config('SET', 'min-replicas-to-write', '0');

  await r.call('REPLICAOF', '127.0.0.1', node.port);
  await until('the replica is up', async () => {
    return (await replication(r, 'master_link_status')) === 'up';
  });
  await until('two repl-timeouts', () =>
    Promise.resolve(performance.now() - attachedMs > 2.2 * REPL_TIMEOUT_S * 1000),
  );
  expect(taker.isOver).toBe(false);
  expect(await replication(client, 'connected_slaves')).toBe('2');
  expect(await node.log()).not.toMatch(/Disconnecting timedout/);

  if (server.version.startsWith('6.0')) {
    // Nobody keeps the two in step there: we must not have what the replica has not.
    await link[Symbol.asyncDispose]();
    await until('the replica has it all', async () => {
      return BigInt(await replication(r, 'slave_repl_offset')) >= taker.offset;
    });
  }
  await takeOver(server, client, r);
  await client.quit();
  // The history goes on at the new primary, under another name.
  const { replid } = link.start;
  await using next = await linkTo(replica.port, { resume: { replid, offset: taker.offset } });
  expect(next.start).toEqual({
    kind: 'continued',
    replid: await replication(r, 'master_replid'),
    offset: taker.offset,
  });
  expect(next.start.replid).not.toBe(replid);
  expect(await replication(r, 'master_replid2')).toBe(replid);
  const goesOn = new StreamTaker(next);
  await r.set('after', 1);
  await goesOn.until(BigInt(await replication(r, 'master_repl_offset')));
  expect(goesOn.taken.toString()).toMatch(/\$5\r\nafter\r\n/);
}

/** The replica becomes the primary: by FAILOVER, which chooses by itself, where there is one. */
async function takeOver(server: ServerBinary, client: Redis, replica: Redis): Promise<void> {
  if (server.version.startsWith('6.0')) {
    await replica.call('REPLICAOF', 'NO', 'ONE');
    return;
  }
  expect(await client.call('FAILOVER', 'TIMEOUT', 30_000)).toBe('OK');
  await until('the failover', async () => (await replication(replica, 'role')) === 'master');
  await until('the demotion', async () => (await replication(client, 'role')) === 'slave');
}
