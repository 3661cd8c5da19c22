import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bytesOf, type ByteSource, collectBytes } from '@tidemark/core';
import {
  passRdb,
  type RdbEntry,
  type RdbSummary,
  rewriteRdb,
  type RewriteRdbOptions,
  scanRdbEntries,
} from '@tidemark/rdb';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { diffOracle, type Oracle, readOracle } from '../support/oracle.ts';
import { inChunks } from '../support/pattern.ts';
import { intStr, len, lzfStr, RdbBuilder, str } from '../support/rdb-builder.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';

const run = promisify(execFile);
const DAY_MS = 86_400_000;
/** Far enough that nothing expires during a test. */
const SOON = 4_102_444_800_000;
const LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";

/** Every type and encoding that this server writes, in three databases. */
async function fill(client: Redis): Promise<void> {
  const one = client.pipeline();
  one.call('FUNCTION', 'LOAD', LIBRARY);
  one.set(Buffer.from([0, 255, 10, 13, 254]), Buffer.from([255, 0, 1]));
  for (const [at, name] of ['', '7', '-300', '100000', '99999999999'].entries()) one.set(name, at);
  one.set(`user:${'0'.repeat(60)}:packed-name`, 'x'.repeat(5000));
  one.set('expiring', 'x', 'PXAT', SOON);
  one.set('70000', 'integer name with expiry', 'PXAT', SOON + 1);
  one.set('long', Buffer.alloc(300_000, 'ab'));
  one.rpush('list:small', 'a', '1', 'b'.repeat(200));
  one.rpush('list:large', ...Array.from({ length: 3000 }, (_, at) => `element ${at}`));
  one.rpush('list:plain-node', 'p'.repeat(20_000));
  one.sadd('set:integers', ...Array.from({ length: 300 }, (_, at) => at * 1000));
  one.sadd('set:table', ...Array.from({ length: 700 }, (_, at) => `member ${at}`));
  one.hset('hash:small', { field: 'value', number: 12 });
  const fields = Array.from({ length: 900 }, (_, at) => [`field ${at}`, `value ${at}`]);
  one.hset('hash:table', Object.fromEntries(fields) as Record<string, string>);
  one.zadd('zset:small', 1.5, 'a', '-inf', 'b', 'inf', 'c');
  one.zadd('zset:skiplist', ...Array.from({ length: 600 }, (_, at) => [at / 7, `m${at}`]).flat());
  one.pfadd('hyperloglog', 'a', 'b', 'c');
  one.geoadd('geo', 13.361389, 38.115556, 'Palermo');
  one.select(3);
  for (let at = 0; at < 500; at += 1) one.xadd('stream', `${at + 1}-1`, 'field', `value ${at}`);
  one.xdel('stream', '3-1', '4-1');
  one.xgroup('CREATE', 'stream', 'workers', '0');
  one.xgroup('CREATE', 'stream', 'idle', '$');
  one.xreadgroup('GROUP', 'workers', 'alice', 'COUNT', 20, 'STREAMS', 'stream', '>');
  one.xreadgroup('GROUP', 'workers', 'bob', 'COUNT', 5, 'STREAMS', 'stream', '>');
  one.xgroup('CREATE', 'stream:empty', 'g', '$', 'MKSTREAM');
  one.expire('stream', 1_000_000_000);
  one.select(15);
  for (let at = 0; at < 3000; at += 1) {
    if (at % 3 === 0) one.set(`many:${at}`, at, 'PXAT', SOON + at);
    else one.set(`many:${at}`, 'v'.repeat(at % 100));
  }
  one.select(0);
  for (const [error] of (await one.exec()) ?? []) {
    if (error !== null) throw error;
  }
}

const collect = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 1e9, () => new Error('too much'));

async function entriesOf(bytes: Buffer): Promise<RdbEntry[]> {
  const entries: RdbEntry[] = [];
  for await (const batch of scanRdbEntries(inChunks(bytes, 65_536))) entries.push(...batch);
  return entries;
}

async function summaryOf(bytes: Buffer, size: number): Promise<RdbSummary> {
  const summaries: RdbSummary[] = [];
  const passed = await collect(passRdb(inChunks(bytes, size), (one) => summaries.push(one)));
  expect(passed.equals(bytes)).toBe(true);
  return summaries[0]!;
}

const rewrite = (bytes: Buffer, options: RewriteRdbOptions): Promise<Buffer> =>
  collect(rewriteRdb(inChunks(bytes, 65_536), options));

/** A server that has loaded an RDB file, and a client of it. */
async function load(server: RedisServer, bytes: Buffer): Promise<Redis> {
  await server.stop();
  await writeFile(join(server.dir, 'dump.rdb'), bytes);
  await run('redis-check-rdb', [join(server.dir, 'dump.rdb')]);
  await server.restart();
  return server.connect();
}

async function dump(server: RedisServer, client: Redis): Promise<Buffer> {
  await client.call('SAVE');
  return readFile(join(server.dir, 'dump.rdb'));
}

async function aofBase(server: RedisServer, client: Redis): Promise<Buffer> {
  await client.call('BGREWRITEAOF');
  const done = async (): Promise<boolean> =>
    /aof_rewrites:[1-9][\s\S]*aof_rewrite_in_progress:0|aof_rewrite_in_progress:0[\s\S]*aof_rewrites:[1-9]/.test(
      await client.info('persistence'),
    );
  await expect.poll(done, { timeout: 60_000, interval: 20 }).toBe(true);
  const names = (await readdir(server.aofDir)).filter((name) => name.endsWith('.base.rdb')).sort();
  return readFile(join(server.aofDir, names.at(-1) ?? ''));
}

describe('RDB files of a real server', () => {
  it('are scanned as the server counts, and load rewritten to the same data', async () => {
    await using source = await startRedis();
    const client = await source.connect();
    await fill(client);
    const oracle = await readOracle(client);
    const bytes = await dump(source, client);

    const entries = await entriesOf(bytes);
    const listed = new Map(
      entries.map(({ db, key, expiryMs }) => [`${db} ${key.toString('hex')}`, expiryMs]),
    );
    expect(listed.size).toBe(entries.length);
    for (const [db, { dbSize }] of oracle.databases) {
      expect(entries.filter((entry) => entry.db === db)).toHaveLength(dbSize);
      await client.select(db);
      for (const key of await client.keysBuffer('*')) {
        const expiry = Number(await client.call('PEXPIRETIME', key));
        expect(listed.get(`${db} ${key.toString('hex')}`)).toBe(expiry < 0 ? null : expiry);
      }
    }
    const summary = await summaryOf(bytes, 4096);
    expect(summary).toMatchObject({
      ...{ product: 'redis', version: 10, minVersion: 10, keys: entries.length, functions: 1 },
      ...{ maxDb: 15, checksum: 'verified', bytes: bytes.length, fieldTtl: false },
    });
    expect(Object.keys(summary.types).map(Number)).toEqual([0, 2, 4, 5, 11, 16, 17, 18, 19]);
    expect(await summaryOf(bytes, 1)).toEqual(summary);
    const base = await summaryOf(await aofBase(source, client), 100_000);
    expect(base).toMatchObject({ keys: entries.length, types: summary.types });
    expect(base.aux['aof-base']).toBe('1');

    await using target = await startRedis({ aof: false });
    const loaded = await load(target, await rewrite(bytes, { version: summary.minVersion }));
    expect(diffOracle(oracle, await readOracle(loaded))).toEqual([]);
    const plain = await load(target, bytes);
    expect(diffOracle(oracle, await readOracle(plain))).toEqual([]);
  });

  it('load rewritten with only the chosen keys and the wanted expiries', async () => {
    await using source = await startRedis({
      aof: false,
      config: { 'maxmemory-policy': 'allkeys-lfu' },
    });
    const client = await source.connect();
    await fill(client);
    const bytes = await dump(source, client);
    const keepKey = (db: number, key: Buffer): boolean =>
      db === 3 || (db === 15 && key.toString().endsWith('6')) || key.toString().startsWith('set:');
    const newExpiry = (expiryMs: number, db: number): number | null =>
      db === 3 ? null : expiryMs + DAY_MS;
    const before = await readOracle(client);

    await using target = await startRedis({ aof: false });
    const output = await rewrite(bytes, { keepKey, newExpiry, keepFunctions: false });
    const after = await readOracle(await load(target, output));
    expect([...after.databases.keys()]).toEqual([0, 3, 15]);
    expect(after.functions.size).toBe(0);
    for (const [db, { keys }] of before.databases) {
      const found = after.databases.get(db)?.keys;
      const chosen = [...keys].filter(([key]) => keepKey(db, Buffer.from(key)));
      expect(found?.size).toBe(chosen.length);
      for (const [key, facts] of chosen) {
        const moved = facts.expiryMs < 0 ? null : newExpiry(facts.expiryMs, db);
        const persisted = facts.expiryMs >= 0 && moved === null;
        const digest = found?.get(key)?.digest;
        const expected = { ...facts, digest, expiryMs: moved ?? -1 };
        expect(found?.get(key)).toEqual(expected);
        // The digest says whether there is an expiry, so it changes when one is taken away.
        expect(digest === facts.digest).toBe(!persisted);
      }
    }
  });

  it('say where a value stands: the same bytes as in a DUMP payload', async () => {
    await using server = await startRedis({ aof: false });
    const client = await server.connect();
    await fill(client);
    const bytes = await dump(server, client);
    const entries = await entriesOf(bytes);
    const dumped = await client.dumpBuffer('hash:table');
    const entry = entries.find(({ key }) => key.toString() === 'hash:table')!;
    const value = bytes.subarray(entry.valueOffset, entry.offset + entry.bytes);
    expect(dumped.subarray(1, -10).equals(value)).toBe(true);
  });
});

const ASSETS = new URL('../../../shared/data/redis-assets/', import.meta.url);

/** Data as a server loaded it, or that it refused to start. */
async function outcomeOf(server: RedisServer, bytes: Buffer): Promise<Oracle | 'refused'> {
  await server.stop();
  await writeFile(join(server.dir, 'dump.rdb'), bytes);
  try {
    await server.restart();
  } catch {
    return 'refused';
  }
  return readOracle(await server.connect());
}

describe.skipIf(!existsSync(ASSETS))('RDB files of old and damaged servers', () => {
  // Databases with keys; empty values are left out by the server itself.
  it.each<[string, number | 'refused']>([
    ['encodings.rdb', 1],
    ['hash-zipmap.rdb', 1],
    ['hash-ziplist.rdb', 1],
    ['list-quicklist.rdb', 1],
    ['zset-ziplist.rdb', 1],
    ['scriptbackup.rdb', 0],
    ['corrupt_empty_keys.rdb', 0],
    ['corrupt_ziplist.rdb', 'refused'],
  ])('%s loads rewritten as the original does: %s', async (name, wanted) => {
    await using server = await startRedis({ aof: false });
    const bytes = await readFile(new URL(name, ASSETS));
    const original = await outcomeOf(server, bytes);
    const rewritten = await collect(rewriteRdb(bytesOf(bytes), {}));
    const found = await outcomeOf(server, rewritten);
    expect(original === 'refused' ? original : original.databases.size).toBe(wanted);
    if (original === 'refused' || found === 'refused') expect(found).toBe(original);
    else expect(diffOracle(original, found)).toEqual([]);
  });
});

describe('RDB files of versions before 9', () => {
  it.each([1, 3, 4, 6, 8])('%i loads rewritten as the original does', async (version) => {
    const score = (text: string): Buffer =>
      Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
    const builder = new RdbBuilder({ version })
      .selectDb(0)
      .string('string', 'value')
      .entry({ key: 'expiring', expirySeconds: 2_000_000_000 })
      .entry({ key: 'list', type: 1, value: Buffer.concat([len(2), str('a'), intStr(-7)]) })
      .entry({ key: 'set', type: 2, value: Buffer.concat([len(2), str('a'), str('b')]) })
      .entry({
        key: 'zset',
        type: 3,
        value: Buffer.concat([
          len(3),
          str('a'),
          score('1.5'),
          str('b'),
          score('-17'),
          str('c'),
          Buffer.of(254),
        ]),
      })
      .selectDb(7)
      .entry({
        key: 'hash',
        type: 4,
        value: Buffer.concat([len(1), str('f'), lzfStr('v'.repeat(90))]),
      });
    const bytes = builder.build();
    await using server = await startRedis({ aof: false });
    const original = await outcomeOf(server, bytes);
    const found = await outcomeOf(server, await collect(rewriteRdb(bytesOf(bytes), {})));
    if (original === 'refused' || found === 'refused') throw new Error('it was not loaded');
    expect([...original.databases].map(([db, { dbSize }]) => [db, dbSize])).toEqual([
      [0, 5],
      [7, 1],
    ]);
    expect(diffOracle(original, found)).toEqual([]);
  });
});
