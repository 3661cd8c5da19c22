import { randomBytes } from 'node:crypto';
import type { ByteSource } from '@tidemark/core';
import { openFeed, type Feed, type FeedOptions, type FeedProgress } from '@tidemark/replication';
import { encodeCommand } from '@tidemark/resp';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { readAofSource, rewriteAof, type AofSource } from '../support/aof-source.ts';
import { CuttingProxy } from '../support/cutting-proxy.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { inChunks, patternBytes } from '../support/pattern.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const BASE = 5000n;
const startSource = (): Promise<RedisServer> =>
  startRedis({ config: { 'aof-timestamp-enabled': 'no', 'auto-aof-rewrite-percentage': '0' } });
const startTarget = (disklessLoad = 'on-empty-db'): Promise<RedisServer> =>
  startRedis({ aof: false, config: { 'repl-diskless-load': disklessLoad } });

async function feedOf(
  source: Pick<AofSource, 'snapshot' | 'commands'>,
  changes: Partial<FeedOptions> = {},
): Promise<Feed & { id: string; password: string }> {
  const id = randomBytes(20).toString('hex');
  const password = randomBytes(20).toString('hex');
  const feed = await openFeed({
    listenHost: '127.0.0.1',
    allowFrom: '127.0.0.1',
    user: 'feed',
    password,
    replicationId: id,
    baseOffset: BASE,
    snapshot: () => source.snapshot(),
    commands: (from) => source.commands(from),
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  });
  return Object.assign(feed, { id, password });
}

async function attach(
  target: Redis,
  feed: { port: number; password: string },
  port = feed.port,
): Promise<void> {
  await target.config('SET', 'masteruser', 'feed');
  await target.config('SET', 'masterauth', feed.password);
  await target.call('REPLICAOF', '127.0.0.1', port);
}

const infoOf = async (client: Redis, section: string, name: string): Promise<string> =>
  new RegExp(`^${name}:(.*)\\r?$`, 'm').exec(await client.info(section))?.[1]?.trim() ?? '';

async function fillAll(client: Redis): Promise<void> {
  await client.call(
    'FUNCTION',
    'LOAD',
    '#!lua name=lib\nredis.register_function("f", function() return 1 end)',
  );
  for (const db of [0, 3, 15]) {
    await client.select(db);
    const pipeline = client.pipeline();
    for (let i = 0; i < 2000; i++) {
      pipeline.set(`string:${i}`, 'x'.repeat(i % 300));
      if (i % 3 === 0) pipeline.pexpire(`string:${i}`, i % 2 === 0 ? 40 : 3_600_000);
      pipeline.hset(`hash:${i % 50}`, `field:${i}`, i);
      pipeline.zadd(`zset:${i % 50}`, i / 7, `member:${i}`);
      pipeline.rpush(`list:${i % 50}`, i);
      pipeline.xadd(`stream:${i % 10}`, '*', 'n', i);
    }
    pipeline.xgroup('CREATE', 'stream:1', 'group', '0');
    pipeline.xreadgroup('GROUP', 'group', 'c1', 'COUNT', 5, 'STREAMS', 'stream:1', '>');
    await pipeline.exec();
  }
}

async function changeAll(client: Redis): Promise<void> {
  for (const db of [0, 3, 15]) {
    await client.select(db);
    const pipeline = client.pipeline();
    for (let i = 0; i < 2000; i++) {
      pipeline.incr('counter');
      pipeline.append(`string:${i}`, 'y');
      if (i % 5 === 0) pipeline.call('MULTI').call('INCR', 'a').call('INCR', 'b').call('EXEC');
      if (i % 7 === 0) pipeline.del(`hash:${i % 50}`);
      if (i % 11 === 0) pipeline.set(`short:${i}`, i, 'PX', 30);
    }
    pipeline.call('XACK', 'stream:1', 'group', '0-1');
    pipeline.eval("redis.call('SET', KEYS[1], 1); redis.call('SET', KEYS[2], 2)", 2, 'e1', 'e2');
    await pipeline.exec();
  }
  await client.call('SWAPDB', 3, 15);
}

describe('a feed into a real server', () => {
  it.each(['on-empty-db', 'disabled'])(
    'makes an equal server, repl-diskless-load %s',
    async (disklessLoad) => {
      await using source = await startSource();
      await using target = await startTarget(disklessLoad);
      const [s, t] = [await source.connect(), await target.connect()];
      await fillAll(s);
      await rewriteAof(s);
      await changeAll(s);
      await systemClock.sleep(1500); // expired keys are deleted on the source
      const aof = await readAofSource(source, s);
      await using feed = await feedOf(aof);
      await attach(t, feed);
      const result = await feed.finished();
      expect(result).toEqual({
        rdbBytes: aof.baseBytes,
        commandBytes: BigInt(aof.logBytes),
        offset: BASE + BigInt(aof.logBytes),
        sentOffset: BASE + BigInt(aof.logBytes) + 37n, // GETACK
        restarts: 0,
        resumes: 0,
      });
      expect(await infoOf(t, 'replication', 'master_link_status')).toBe('up');
      expect(await infoOf(t, 'replication', 'master_replid')).toBe(feed.id);
      // GETACK (37 bytes) counts once it is answered.
      expect(await infoOf(t, 'replication', 'slave_repl_offset')).toBe(String(result.offset + 37n));
      expect(await infoOf(t, 'stats', 'unexpected_error_replies')).toBe('0');
      await t.call('REPLICAOF', 'NO', 'ONE');
      expect(diffOracle(await readOracle(s), await readOracle(t))).toEqual([]);
    },
  );

  it('passes a value of 300 MB and a command of 60 MB, with little memory', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    const part = patternBytes(50 << 20);
    for (let i = 0; i < 6; i++) await s.append('big', part);
    await rewriteAof(s);
    await s.set('large', part.subarray(0, 60_000_000));
    const aof = await readAofSource(source, s);
    const before = process.memoryUsage().rss;
    let peak = 0;
    const onProgress = (): void => void (peak = Math.max(peak, process.memoryUsage().rss));
    await using feed = await feedOf(aof, { onProgress });
    await attach(t, feed);
    const result = await feed.finished();
    expect(result.rdbBytes).toBeGreaterThan(300 << 20);
    expect(peak - before).toBeLessThan(64 << 20);
    await t.call('REPLICAOF', 'NO', 'ONE');
    expect(await t.call('DEBUG', 'DIGEST')).toBe(await s.call('DEBUG', 'DIGEST'));
  });

  it('goes on where it was each time the link breaks among commands', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    await rewriteAof(s);
    for (let round = 0; round < 20; round++) {
      const pipeline = s.pipeline();
      for (let i = 0; i < 5000; i++) {
        pipeline.incr(`counter:${i % 97}`);
        if (i % 10 === 0)
          pipeline
            .call('MULTI')
            .call('INCR', 'm1')
            .call('RPUSH', 'order', round * 5000 + i)
            .call('EXEC');
        if (i % 1000 === 0) pipeline.select((i / 1000) % 3);
      }
      await pipeline.exec();
    }
    const aof = await readAofSource(source, s);
    async function* throttled(from: bigint): ByteSource {
      for await (const chunk of aof.commands(from)) {
        // Chunks that end within commands and transactions, slowly enough to be cut.
        yield* inChunks(chunk, 40_001);
        await systemClock.sleep(100);
      }
    }
    let cuts = 0;
    let cut = (): void => undefined;
    const onProgress = (progress: FeedProgress): void => {
      // One cut in each seventh of the stream.
      const part = Math.floor((7 * Number(progress.commandBytes)) / aof.logBytes);
      if (part <= cuts || cuts >= 6) return;
      cuts++;
      cut();
    };
    await using feed = await feedOf(
      { snapshot: () => aof.snapshot(), commands: throttled },
      { onProgress },
    );
    const proxy = await CuttingProxy.to(feed.port);
    cut = () => {
      if (cuts % 2 === 0) void t.call('CLIENT', 'KILL', 'TYPE', 'master').catch(() => 0);
      else proxy.cutAll();
    };
    try {
      await attach(t, feed, proxy.port);
      const result = await feed.finished();
      expect(result.restarts).toBe(0);
      expect(result.resumes).toBeGreaterThanOrEqual(3);
      expect(result.commandBytes).toBe(BigInt(aof.logBytes));
      expect(await infoOf(t, 'stats', 'unexpected_error_replies')).toBe('0');
      await t.call('REPLICAOF', 'NO', 'ONE');
      expect(diffOracle(await readOracle(s), await readOracle(t))).toEqual([]);
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
  });

  it('starts again when the link breaks within the snapshot, and fails at the third time', async () => {
    await using source = await startSource();
    const s = await source.connect();
    for (let i = 0; i < 20; i++) await s.set(`k${i}`, patternBytes(1 << 20, i + 1));
    await rewriteAof(s);
    await s.incr('counter');
    const aof = await readAofSource(source, s);
    for (const cuts of [
      [5 << 20, 9 << 20],
      [5 << 20, 9 << 20, 7 << 20],
    ]) {
      await using target = await startTarget();
      const t = await target.connect();
      await using feed = await feedOf(aof);
      const proxy = await CuttingProxy.to(feed.port);
      proxy.cuts.push(...cuts);
      try {
        await attach(t, feed, proxy.port);
        if (cuts.length === 2) {
          expect(await feed.finished()).toMatchObject({ restarts: 2 });
          await t.call('REPLICAOF', 'NO', 'ONE');
          expect(await t.call('DEBUG', 'DIGEST')).toBe(await s.call('DEBUG', 'DIGEST'));
        } else {
          await expect(feed.finished()).rejects.toMatchObject({
            code: 'TM_FEED',
            context: { phase: 'snapshot' },
          });
        }
      } finally {
        await proxy[Symbol.asyncDispose]();
      }
    }
  });

  it('serves the right server while strangers try', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    await fillAll(s);
    await systemClock.sleep(1000); // expired keys are deleted on the source
    await rewriteAof(s);
    const aof = await readAofSource(source, s);
    await using feed = await feedOf(aof);
    const strangers: FakeReplica[] = [];
    for (let i = 0; i < 30; i++) {
      const stranger = await FakeReplica.to(feed.port);
      strangers.push(stranger);
      if (i % 3 === 0) stranger.socket.write('GET / HTTP/1.1\r\n\r\n');
      if (i % 3 === 1) stranger.send('AUTH', 'feed', 'guess');
      if (i % 3 === 1) stranger.send('PSYNC', '?', '-1');
      if (i === 15) await attach(t, feed);
    }
    await feed.finished();
    for (const stranger of strangers) {
      expect(stranger.received.toString()).toMatch(
        /^(-ERR Protocol error\r\n|-WRONGPASS .*\r\n)?$/,
      );
      stranger[Symbol.dispose]();
    }
    await t.call('REPLICAOF', 'NO', 'ONE');
    // On a slow machine keys that have expired are deleted late, by either server.
    await expect
      .poll(async () => diffOracle(await readOracle(s), await readOracle(t)), { timeout: 60_000 })
      .toEqual([]);
  });

  it('gives nothing to a server with a wrong password', async () => {
    await using target = await startTarget();
    const t = await target.connect();
    await t.set('old', 1);
    await using feed = await feedOf(
      {
        snapshot: () => inChunks(Buffer.alloc(10), 1),
        commands: () => inChunks(Buffer.alloc(0), 1),
      },
      { timeouts: { connectMs: 3000 } },
    );
    await attach(t, { port: feed.port, password: 'wrong' });
    await expect(feed.finished()).rejects.toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'handshake', rdbBytes: 0 },
    });
    expect(await t.get('old')).toBe('1');
    expect(await target.log()).toMatch(/Unable to AUTH to (MASTER|PRIMARY): -WRONGPASS/);
  });

  it('leaves a server that never was promoted when the snapshot source breaks', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    for (let i = 0; i < 20; i++) await s.set(`k${i}`, patternBytes(1 << 20, i + 1));
    await rewriteAof(s);
    const aof = await readAofSource(source, s);
    const damage = new Error('damaged chunk');
    async function* broken(): ByteSource {
      let bytes = 0;
      for await (const chunk of aof.snapshot()) {
        yield chunk;
        bytes += chunk.length;
        if (bytes > 8 << 20) throw damage;
      }
    }
    await using feed = await feedOf({ snapshot: broken, commands: (from) => aof.commands(from) });
    await attach(t, feed);
    await expect(feed.finished()).rejects.toBe(damage);
    await systemClock.sleep(500);
    expect(await infoOf(t, 'replication', 'role')).toBe('slave');
    expect(await infoOf(t, 'replication', 'master_link_status')).toBe('down');
    expect(await t.dbsize()).toBe(0);
  });

  it('fails at once, with a hint, when the server refuses the snapshot', async () => {
    await using target = await startTarget();
    const t = await target.connect();
    const future = Buffer.concat([Buffer.from('REDIS0099'), Buffer.alloc(64)]);
    await using feed = await feedOf({
      snapshot: () => inChunks(future, 100),
      commands: () => inChunks(encodeCommand(['SELECT', '0']), 100),
    });
    const startMs = performance.now();
    await attach(t, feed);
    await expect(feed.finished()).rejects.toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'snapshot', rdbBytes: future.length },
      hint: expect.stringMatching(/log of the target/) as string,
    });
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(await target.log()).toMatch(/Can't handle RDB format version 99/);
  });

  it('fails when the server dies of the snapshot', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    await fillAll(s);
    await rewriteAof(s);
    const aof = await readAofSource(source, s);
    async function* wrongChecksum(): ByteSource {
      const parts: Buffer[] = [];
      for await (const chunk of aof.snapshot()) parts.push(chunk as Buffer);
      const whole = Buffer.concat(parts);
      whole[whole.length - 1]! ^= 1;
      yield whole;
    }
    await using feed = await feedOf(
      { snapshot: wrongChecksum, commands: (from) => aof.commands(from) },
      { timeouts: { reconnectMs: 500 } },
    );
    await attach(t, feed);
    await expect(feed.finished()).rejects.toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'snapshot', rdbBytes: aof.baseBytes },
    });
  });

  it('keeps the link up after the end, until it is disposed', async () => {
    await using source = await startSource();
    await using target = await startTarget();
    const [s, t] = [await source.connect(), await target.connect()];
    await s.set('a', 1);
    await rewriteAof(s);
    await s.set('a', 2);
    const aof = await readAofSource(source, s);
    await t.config('SET', 'repl-timeout', '2');
    await using feed = await feedOf(aof, { timeouts: { keepaliveMs: 500 } });
    await attach(t, feed);
    await feed.finished();
    await systemClock.sleep(4500);
    expect(await infoOf(t, 'replication', 'master_link_status')).toBe('up');
    expect(await target.log()).not.toMatch(/MASTER timeout/);
    await feed[Symbol.asyncDispose]();
    await systemClock.sleep(300);
    expect(await infoOf(t, 'replication', 'master_link_status')).toBe('down');
    expect(await t.get('a')).toBe('2');
  });
});
