import { connectNode } from '@tidemark/client';
import type { ByteSource } from '@tidemark/core';
import { openFeed } from '@tidemark/replication';
import { encodeCommand } from '@tidemark/resp';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import {
  countKeys,
  findVanishing,
  promoteTarget,
} from '../../services/restorer/src/target/index.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { inChunks } from '../support/pattern.ts';
import {
  abandon,
  BASE,
  capture,
  finish,
  replayInto,
  role,
  settingsOf,
  startTarget,
  untilTrue,
} from '../support/restore-target.ts';

describe('the target of a restore', () => {
  it.each<[string, boolean, string]>([
    ['aof', true, ''],
    ['rdb', false, '3600 1'],
    ['none', false, ''],
  ])('gets the data, its settings back, and writes T to its disk: %s', async (kind, aof, save) => {
    await using source = await capture();
    await using target = await startTarget(
      { save, masterauth: 'its own', 'repl-timeout': '77' },
      aof,
    );
    const before = await settingsOf(target.node);
    const at = await replayInto(target.node, source);
    await using feed = at.feed;
    const outcome = await finish(target.node, at);
    expect(outcome.promotion).toEqual({ persisted: kind, foreignSettings: [], warnings: [] });
    expect(outcome.fed.commandBytes).toBe(BigInt(source.log.length));
    expect(outcome.databases).toEqual([
      { db: 0, keys: 3000, expires: 0, vanishing: 0 },
      { db: 5, keys: 3010, expires: 0, vanishing: 0 },
      { db: 15, keys: 3000, expires: 0, vanishing: 0 },
    ]);
    expect(await settingsOf(target.node)).toEqual(before);
    expect(await role(target.node)).toBe('master');
    const wanted = await readOracle(source.client);
    expect(diffOracle(wanted, await readOracle(target.redis))).toEqual([]);
    await feed[Symbol.asyncDispose]();
    if (kind === 'none') return;
    await target.server.kill();
    await target.server.restart();
    expect(diffOracle(wanted, await readOracle(await target.server.connect()))).toEqual([]);
  });

  it('counts and names the keys that go with the promotion', async () => {
    await using source = await capture(async (s) => {
      const pipeline = s.pipeline();
      for (let i = 0; i < 500; i++) pipeline.select(i % 2).set(`short:${i}`, i, 'PX', 2500);
      for (let i = 0; i < 500; i++) pipeline.set(`long:${i}`, i, 'PX', 3_600_000);
      await pipeline.exec();
    });
    await using target = await startTarget();
    await systemClock.sleep(2600);
    const at = await replayInto(target.node, source);
    await using feed = at.feed;
    const { databases, promotion } = await finish(target.node, at, false);
    expect(promotion).toBeNull();
    expect(databases.filter(({ expires }) => expires > 0)).toEqual([
      { db: 0, keys: 3250, expires: 250, vanishing: 250 },
      { db: 1, keys: 750, expires: 750, vanishing: 250 },
    ]);
    const names = ['short:1', 'short:0', 'long:1', 'short:499', 'nothing'].map((name) =>
      Buffer.from(name),
    );
    const found = await findVanishing(target.node, 1, names);
    expect(found.map(String)).toEqual(['short:1', 'short:499']);
    const all = Array.from({ length: 500 }, (_, i) => Buffer.from(`short:${i}`));
    const known = new Map([0, 1].map((db) => [db, [...names, ...all.slice(2, 499)]]));
    expect(await countKeys(target.node, known)).toEqual(databases);
    await promoteTarget(target.node, { record: at.record, clock: systemClock });
    await untilTrue(async () => (await target.redis.dbsize()) === 3000);
    await feed[Symbol.asyncDispose]();
  });

  it('is not promoted when it refused a command, and is emptied', async () => {
    await using source = await capture();
    await using target = await startTarget({ save: '3600 1' }, true);
    const before = await settingsOf(target.node);
    const log = Buffer.concat([
      source.log,
      encodeCommand(['LPUSH', 'key:1', 'x']),
      encodeCommand(['NOSUCHCOMMAND']),
    ]);
    const at = await replayInto(target.node, { rdb: source.rdb, log });
    await using feed = at.feed;
    await expect(finish(target.node, at)).rejects.toMatchObject({
      code: 'TM_TARGET_REPLAY',
      context: { refused: 2 },
    });
    expect(await role(target.node)).toBe('slave');
    await feed[Symbol.asyncDispose]();
    expect(await abandon(target.node, at)).toEqual({ emptied: true, foreignSettings: [] });
    expect(await role(target.node)).toBe('master');
    expect(await settingsOf(target.node)).toEqual(before);
    const empty = await readOracle(target.redis);
    expect([empty.databases.size, empty.functions.size]).toEqual([0, 0]);
    await target.server.kill();
    await target.server.restart();
    expect((await readOracle(await target.server.connect())).databases.size).toBe(0);
  });

  it('shows nothing to readers between damage and its end, and ends empty', async () => {
    await using source = await capture();
    await using target = await startTarget({}, true);
    const damage = new Error('a chunk was changed');
    async function* damaged(): ByteSource {
      yield* inChunks(source.log.subarray(0, source.log.length / 2), 10_000);
      await systemClock.sleep(100);
      throw damage;
    }
    const at = await replayInto(target.node, source, { commands: damaged });
    await using feed = at.feed;
    const state = { watching: true, linkDown: false };
    const seen = new Set<string>();
    const watch = (async () => {
      const reader = await target.server.connect();
      while (state.watching) {
        const down = state.linkDown;
        const reply = await reader.get('key:2999').catch((error: unknown) => String(error));
        if (down) seen.add(reply === null ? 'nothing' : reply.replace(/.*(MASTERDOWN).*/, '$1'));
      }
    })();
    await expect(finish(target.node, at)).rejects.toBe(damage);
    await feed[Symbol.asyncDispose]();
    await untilTrue(
      async () => (await target.node.info('replication')).get('master_link_status') === 'down',
    );
    state.linkDown = true;
    await systemClock.sleep(100);
    await abandon(target.node, at);
    await systemClock.sleep(100);
    state.watching = false;
    await watch;
    expect([...seen].sort()).toEqual(['MASTERDOWN', 'nothing']);
    expect((await readOracle(target.redis)).databases.size).toBe(0);
    expect(await role(target.node)).toBe('master');
  });

  it('is emptied from another process, also when the feed broke within the snapshot', async () => {
    await using source = await capture();
    await using target = await startTarget();
    const before = await settingsOf(target.node);
    async function* halting(): ByteSource {
      yield* inChunks(source.rdb.subarray(0, source.rdb.length / 2), 10_000);
      await new Promise<never>(() => undefined);
    }
    const at = await replayInto(target.node, source, { snapshot: halting });
    await systemClock.sleep(300);
    await at.feed[Symbol.asyncDispose]();
    await target.node.close();
    await using other = await connectNode({ host: '127.0.0.1', port: target.server.port });
    expect(await abandon(other, at)).toMatchObject({ emptied: true });
    expect(await settingsOf(other)).toEqual(before);
    expect(await target.redis.dbsize()).toBe(0);
  });

  it('goes on with another feed after the first process is gone', async () => {
    await using source = await capture();
    await using target = await startTarget();
    async function* halting(): ByteSource {
      yield* inChunks(source.log.subarray(0, 50_001), 7000);
      await new Promise<never>(() => undefined);
    }
    const at = await replayInto(target.node, source, { commands: halting, resumable: true });
    await untilTrue(
      async () => (await target.node.info('replication')).number('slave_repl_offset', 0) > 40_000,
    );
    const { port } = at.feed;
    await at.feed[Symbol.asyncDispose]();
    await target.node.close();
    await using other = await connectNode({ host: '127.0.0.1', port: target.server.port });
    await using feed = await openFeed({
      listenHost: '127.0.0.1',
      listenPort: port,
      ...at.credentials,
      replicationId: at.id,
      baseOffset: BASE,
      snapshot: () => inChunks(source.rdb, 65_536),
      commands: (from) => inChunks(source.log.subarray(Number(from)), 65_536),
      clock: systemClock,
      signal: new AbortController().signal,
      resume: true,
    });
    const { fed } = await finish(other, { ...at, feed });
    expect(fed).toMatchObject({ rdbBytes: 0, resumes: 1, restarts: 0 });
    expect(diffOracle(await readOracle(source.client), await readOracle(target.redis))).toEqual([]);
  });

  it('can be left frozen, looked at, and promoted by another process', async () => {
    await using source = await capture();
    await using target = await startTarget({ save: '3600 1' });
    const before = await settingsOf(target.node);
    const at = await replayInto(target.node, source);
    await finish(target.node, at, false);
    await at.feed[Symbol.asyncDispose]();
    await target.node.close();
    expect(await target.redis.get('key:10')).toBe('x'.repeat(10));
    await expect(target.redis.set('a', 1)).rejects.toThrow(/READONLY/);
    await using other = await connectNode({ host: '127.0.0.1', port: target.server.port });
    await promoteTarget(other, { record: at.record, clock: systemClock });
    expect(await settingsOf(other)).toEqual(before);
    expect(diffOracle(await readOracle(source.client), await readOracle(target.redis))).toEqual([]);
    expect(await abandon(other, at)).toEqual({ emptied: false, foreignSettings: [] });
    expect(await target.redis.dbsize()).toBe(3000);
  });

  it('is found lost at once when its process dies', async () => {
    await using source = await capture();
    await using target = await startTarget();
    async function* endless(): ByteSource {
      for (;;) {
        yield encodeCommand(['INCR', 'n']);
        await systemClock.sleep(1);
      }
    }
    const at = await replayInto(target.node, source, { commands: endless });
    await using feed = at.feed;
    const work = expect(finish(target.node, at)).rejects.toMatchObject({ code: 'TM_TARGET_LOST' });
    await systemClock.sleep(300);
    const startMs = performance.now();
    await target.server.kill();
    await work;
    expect(performance.now() - startMs).toBeLessThan(2000);
    await feed[Symbol.asyncDispose]();
  });
});
