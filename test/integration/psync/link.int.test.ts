import { randomBytes } from 'node:crypto';
import { connectNode } from '@tidemark/client';
import { openFeed } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { comparableOf, countFacts } from '../../support/matrix/comparable.ts';
import { capabilitiesOf } from '../../support/matrix/matrix-server.ts';
import { writeTypeComplete } from '../../support/matrix/type-complete.ts';
import { diffOracle, readOracle } from '../../support/oracle.ts';
import { inChunks } from '../../support/pattern.ts';
import { cut, scanChunks } from '../../support/rdb-scan.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import { serverBinaries, type ServerBinary } from '../../support/servers.ts';

/** All that a link needs; no INFO, no key, no channel. */
const USER = { username: 'link', password: 'a password' };
const ACL = ['on', `>${USER.password}`, '-@all', '+psync', '+replconf', '+ping'];

async function startSource(server: ServerBinary, diskless?: 'yes' | 'no'): Promise<RedisServer> {
  const config = diskless === undefined ? {} : { 'repl-diskless-sync': diskless };
  const node = await startRedis({ binary: server.binary, aof: false, config });
  const client = await node.connect();
  await client.call('ACL', 'SETUSER', USER.username, ...ACL);
  const { functions, fieldExpiry } = capabilitiesOf(server);
  await using control = await connectNode({ host: '127.0.0.1', port: node.port });
  await writeTypeComplete(control, 'before', { functions: functions ? 'lib' : null, fieldExpiry });
  return node;
}

const offsetOf = async (client: Redis): Promise<bigint> =>
  BigInt(/^master_repl_offset:(\d+)/m.exec(await client.info('replication'))?.[1] ?? '');

/** Commands of several kinds, without times: those of 6.0 are relative in the stream. */
async function change(client: Redis, round: number): Promise<void> {
  for (const db of [0, 5]) {
    await client.select(db);
    const pipeline = client.pipeline();
    for (let i = 0; i < 300; i++) {
      pipeline.set(`round:${round}:${i}`, 'x'.repeat(i));
      pipeline
        .call('MULTI')
        .call('INCR', 'counter')
        .call('RPUSH', 'order', `${round}`)
        .call('EXEC');
      pipeline.hset('hash', `field:${round}:${i}`, i);
      pipeline.xadd('stream', `${round + 1}-${i + 1}`, 'n', i);
      if (i % 7 === 0) pipeline.del(`round:${round}:${i - 1}`);
    }
    pipeline.eval("redis.call('SET', KEYS[1], 1); redis.call('APPEND', KEYS[2], 2)", 2, 'e1', 'e2');
    await pipeline.exec();
  }
  await client.call('SWAPDB', 5, 6);
}

/** A server of the same kind, made from an RDB and a stream. */
async function replay(server: ServerBinary, rdb: Buffer, commands: Buffer): Promise<RedisServer> {
  const target = await startRedis({
    binary: server.binary,
    aof: false,
    config: { 'repl-diskless-load': 'on-empty-db' },
  });
  const client = await target.connect();
  const password = randomBytes(20).toString('hex');
  await using feed = await openFeed({
    listenHost: '127.0.0.1',
    user: 'feed',
    password,
    replicationId: randomBytes(20).toString('hex'),
    baseOffset: 1n,
    snapshot: () => inChunks(rdb, 100_000),
    commands: (from) => inChunks(commands.subarray(Number(from)), 100_000),
    clock: systemClock,
    signal: new AbortController().signal,
  });
  await client.config('SET', 'masteruser', 'feed');
  await client.config('SET', 'masterauth', password);
  await client.call('REPLICAOF', '127.0.0.1', feed.port);
  await feed.finished();
  expect(await client.info('stats')).toMatch(/unexpected_error_replies:0\r/);
  await client.call('REPLICAOF', 'NO', 'ONE');
  return target;
}

const cases = serverBinaries().flatMap((server) => [{ server, name: server.name }]);

describe.each(cases)('a link to $name', ({ server }) => {
  it('gives an RDB and a stream that make an equal server, also over a cut', async () => {
    await using node = await startSource(server);
    const client = await node.connect();
    await using first = await linkTo(node.port, USER);
    expect(first.start.kind).toBe('full');
    await change(client, 0); // while the RDB is under way
    const rdb = await takeSnapshot(first);
    expect(scanChunks(cut(rdb, 65_536)).entries.length).toBeGreaterThan(40);
    const taker = new StreamTaker(first);
    await change(client, 1);
    await taker.until(await offsetOf(client));
    await first[Symbol.asyncDispose]();
    expect(await taker.ended).toBeInstanceOf(Error);

    await change(client, 2); // while nobody is there
    const { replid } = first.start;
    const resume = { replid, offset: taker.offset };
    await using second = await linkTo(node.port, { ...USER, resume });
    expect(second.start).toEqual({ kind: 'continued', ...resume });
    const next = new StreamTaker(second);
    await change(client, 3);
    await next.until(await offsetOf(client));

    const stream = Buffer.concat([taker.taken, next.taken]);
    expect(first.start.offset + BigInt(stream.length)).toBe(next.offset);
    await using target = await replay(server, rdb, stream);
    const comparable = comparableOf(capabilitiesOf(server), capabilitiesOf(server), false);
    const [left, right] = [await readOracle(client), await readOracle(await target.connect())];
    expect(countFacts(left)).toMatchObject({ databases: 3 });
    expect(countFacts(left).keys).toBeGreaterThan(600);
    expect(diffOracle(comparable(left), comparable(right))).toEqual([]);
  });

  it('gives the snapshot alone, whichever way the server makes it', async () => {
    for (const diskless of ['yes', 'no'] as const) {
      await using node = await startSource(server, diskless);
      await using link = await linkTo(node.port, { ...USER, snapshotOnly: true });
      const rdb = await takeSnapshot(link);
      expect(link.snapshotLength).toBe(diskless === 'no' ? rdb.length : null);
      const { entries } = scanChunks([rdb]);
      const client = await node.connect();
      expect(entries.length).toBe(await client.dbsize());
      while (!(await client.info('replication')).includes('connected_slaves:0\r')) {
        await systemClock.sleep(20);
      }
    }
  });
});
