import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  endStarted,
  haveHole,
  isInArguments,
  keysOf,
  StoryRun,
  type ComparedDocument,
  type WrittenDocument,
} from '../support/key-story/story-run.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import {
  iso,
  secondOf,
  Tidemark,
  type ArchiverProcess,
  type RestoreDocument,
} from '../support/tidemark-cli.ts';

const SHOP = 'shop';
/** A second node, of which settings and rights change. */
const TILL = 'till';
const SECRET = 'open-sesame-5f2c';
/** A key that no shell can type as it is. */
const ODD = Buffer.from('odd\x00key\\\n\xff', 'latin1');
const ODD_TYPED = 'odd\\x00key\\\\\\n\\xff';
/** As it is shown: that can be typed too. */
const ODD_SHOWN = 'odd\\x00key\\\\\\x0a\\xff';
const MANY = 240;
/** Slow enough for a signal to come in the middle. */
const SLOWLY = ['--rate-limit', '400ops', '--yes'];

let tidemark: Tidemark;
let shop: RedisServer;
let till: RedisServer;
let redis: Redis;
let tillRedis: Redis;
let archiver: ArchiverProcess;
let story: StoryRun;
/** A second at whose end everything is as it should be. */
let good = '';
let lotsLives: readonly number[] = [];
let ended = false;
let load: Promise<void>;

beforeAll(async () => {
  [tidemark, shop, till] = await Promise.all([Tidemark.init(), startRedis(), startRedis()]);
  story = new StoryRun(tidemark);
  const setup = await shop.connect();
  await setup.config('SET', 'requirepass', SECRET);
  [redis, tillRedis] = await Promise.all([shop.connect({ password: SECRET }), till.connect()]);
  const passFile = join(tidemark.dir, 'shop.pass');
  await writeFile(passFile, `${SECRET}\n`, { mode: 0o600 });
  await tidemark.add(SHOP, shop, '--pass-file', passFile);
  await tidemark.add(TILL, till);
  archiver = await tidemark.serve();
  load = write();
  await fill();
  await delay(1_100);
  good = iso(Math.floor(Date.now() / 1000));
  await delay(1_100);
  await haveAccidents();
  const proven = Math.floor(Date.now() / 1000);
  await Promise.all([SHOP, TILL].map((id) => tidemark.untilProven(id, proven)));
}, 60_000);

afterAll(async () => {
  ended = true;
  await load;
  for (const part of [tidemark, shop, till]) await part[Symbol.asyncDispose]();
});

/** What a shop writes all the time, to keys that nobody restores. */
async function write(): Promise<void> {
  for (let i = 0; !ended; i++) {
    await redis.multi().incr('visits').lpush('log', i).ltrim('log', 0, 50).exec();
    await delay(10);
  }
}

async function fill(): Promise<void> {
  const work = redis.pipeline();
  for (let i = 0; i < 20; i++) work.hset(`cart:${i}`, 'item', i, 'total', 12);
  work.set('cart:held', 'x', 'EX', 3_600);
  work.set('cart:dead', 'x', 'PX', 5);
  work.set(ODD, 'odd value').rpush('plain', 'a', 'b');
  for (let i = 0; i < MANY; i++)
    work.set(`many:${i}`, `value ${i}`).set(`lots:${i}`, i, 'EX', 3_600 + i);
  await work.exec();
  lotsLives = await livesOf('lots');
  await tillRedis.mset({ 'sale:1': '10', 'sale:2': '20', 'sale:3': '30' });
}

/** When each key of a kind expires, Unix milliseconds. */
async function livesOf(name: string): Promise<readonly number[]> {
  const keys = Array.from({ length: MANY }, (_, i) => `${name}:${i}`);
  return Promise.all(keys.map((key) => redis.pexpiretime(key)));
}

async function haveAccidents(): Promise<void> {
  await redis.hset('cart:7', 'total', -1);
  await redis.del('cart:8', 'cart:9');
  await redis.rename('cart:10', 'cart:moved');
  await redis.copy('cart:11', 'cart:twin');
  await redis.set('cart:late', '1');
  await redis.del(ODD, 'plain');
  for (const name of ['many', 'lots']) {
    await redis.del(Array.from({ length: MANY }, (_, i) => `${name}:${i}`));
  }
  await tillRedis.flushall();
  await tillRedis.set('sale:4', '40');
  await delay(1_100);
  await Promise.all([redis.set('tick', '1'), tillRedis.set('tick', '1')]);
}

describe.concurrent('somebody has lost keys', () => {
  it('finds the second, looks, puts them back into the running server and takes that back', async () => {
    const before = await keysOf(redis, 'cart:*');
    const found = await story.lines('find', SHOP, '--command', 'HSET', '--key', 'cart:7');
    expect(found).toHaveLength(2);
    expect(found[1]?.second).toMatch(/Z$/);
    const beforeIt = ['--before', found[1]?.before ?? ''];
    const history = await story.lines('history', SHOP, 'cart:moved');
    expect(history.map(({ did }) => did)).toEqual(['rename from']);
    const point = ['--at', good, '--glob', 'cart:*', '--exclude-key', 'cart:held'];
    const counts = { same: 16, changed: 1, missing: 3, created: 3, expired: 0 };
    const [diff, seen, dry] = await Promise.all([
      story.json<ComparedDocument>(0, [
        ...['diff', SHOP, '--from', good, '--to', 'live', ...point.slice(2)],
      ]),
      story.text(0, 'preview', SHOP, ...beforeIt, ...point.slice(2)),
      story.json<ComparedDocument>(0, ['restore', SHOP, ...point, '--to', 'original', '--dry-run']),
    ]);
    expect(diff.counts).toEqual(counts);
    expect(dry.counts).toEqual(counts);
    expect(dry.write).toMatchObject({ put: 4, deleted: 3 });
    const names = dry.sample.map(({ outcome, key }) => `${outcome} ${key}`).sort();
    expect(names).toEqual([
      ...['changed cart:7', 'created cart:late', 'created cart:moved', 'created cart:twin'],
      ...['missing cart:10', 'missing cart:8', 'missing cart:9'],
    ]);
    expect(seen.out).toMatch(/^write: 4 keys to put \(.*\), 3 to delete/m);
    expect(await story.refused(2, 'restore', SHOP, ...point, '--to', 'original')).toMatchObject({
      code: 'TM_WRITE_CONSENT',
      hint: expect.stringContaining('--yes') as string,
    });
    expect(await keysOf(redis, 'cart:*')).toEqual(before);

    const written = await story.json<WrittenDocument>(0, [
      ...['restore', SHOP, ...point, '--to', 'original', '--yes'],
    ]);
    expect(written).toMatchObject({ state: 'succeeded', restored: 4, deleted: 3, conflicts: 0 });
    expect(await redis.hgetall('cart:7')).toEqual({ item: '7', total: '12' });
    expect([...(await keysOf(redis, 'cart:*')).keys()].sort()).toEqual(
      ['held', ...Array.from({ length: 20 }, (_, i) => String(i))].map((n) => `cart:${n}`).sort(),
    );

    await redis.hset('cart:8', 'total', 13); // somebody shops again
    const undo = ['undo', written.id];
    expect(await story.refused(2, ...undo)).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    const [list, planned] = await Promise.all([
      story.json<{ packs: { restore: string; keys: number }[] }>(0, ['undo', '--list', SHOP]),
      story.text(0, ...undo, '--dry-run'),
    ]);
    expect(list.packs).toContainEqual(
      expect.objectContaining({ restore: written.id, instance: SHOP, keys: 7 }),
    );
    expect(planned.out).toMatch(/^would be put back: 4 keys \(.*\), 2 to delete$/m);
    expect(planned.out).toMatch(/^left: db 0 cart:8: its value was changed since$/m);
    const undone = await story.text(3, ...undo, '--yes');
    expect(undone.out).toMatch(/^put back: 4 keys \(.*\), 2 deleted, in /m);
    expect(undone.err).toContain('1 key was left as it is');
    await story.text(0, ...undo, '--yes', '--on-conflict', 'overwrite');
    expect(await keysOf(redis, 'cart:*')).toEqual(before);
  });

  it('gets some keys in a server of their own, promotes it or calls it off', async () => {
    const keys = ['--key', 'cart:8', '--key', ODD_TYPED, '--regex', 'cart:1[0-3]'];
    const restore = ['restore', SHOP, '--at', good, '--to', 'new'];
    const wanted = ['cart:10', 'cart:11', 'cart:12', 'cart:13', 'cart:8', ODD.toString('latin1')];
    const dir = join(tidemark.dir, 'called-off');
    const [held, off] = await Promise.all([
      story.json<RestoreDocument>(0, [...restore, ...keys, '--no-promote']),
      story.json<RestoreDocument>(0, [...restore, '--key', 'cart:9', '--no-promote', '--dir', dir]),
    ]);
    expect(held).toMatchObject({ state: 'replayed', keys: wanted.length, ttl: 'remaining' });
    const resumed = await story.text(0, 'restore', SHOP, '--resume', held.id);
    expect(resumed.out).toMatch(/^shop at \S+ is in redis:\S+: 6 keys, \d+ commands? replayed, /m);
    await endStarted(held.target, async (client) => {
      expect([...(await keysOf(client, '*')).keys()]).toEqual(wanted);
      expect(await client.hgetall('cart:8')).toEqual({ item: '8', total: '12' });
      expect(await client.role()).toContain('master');
    });
    const aborted = await story.json<RestoreDocument>(0, ['restore', SHOP, '--abort', off.id]);
    expect(aborted.state).toBe('aborted');
    await expect(endStarted(off.target, (client) => client.dbsize())).rejects.toThrow();
    expect(await readdir(dir)).toEqual([]);
    const servers = join(tidemark.dir, 'state', 'servers');
    expect(await readdir(servers)).toEqual([held.id]);
  });

  it('is told that there is nothing to do, and nothing is left of that', async () => {
    const dir = join(tidemark.dir, 'nothing');
    const none = ['--at', good, '--key', 'nowhere', '--key', 'cart:dead'];
    const [fresh, original] = await Promise.all([
      story.json<RestoreDocument>(0, ['restore', SHOP, ...none, '--to', 'new', '--dir', dir]),
      story.text(0, 'restore', SHOP, ...none, '--to', 'original', '--yes'),
    ]);
    expect(fresh).toMatchObject({ state: 'nothing', keys: 0 });
    const other = await startRedis({ aof: false });
    try {
      const client = await other.connect();
      await client.set('mine', '1');
      const target = ['--to', `redis://127.0.0.1:${other.port}`, '--yes'];
      const nothing = { state: 'nothing', keys: 0 };
      expect(
        await story.json(0, ['restore', SHOP, '--at', good, '--key', 'nowhere', ...target]),
      ).toMatchObject(nothing);
      expect(await client.get('mine')).toBe('1');
    } finally {
      await other[Symbol.asyncDispose]();
    }
    await expect(endStarted(fresh.target, (client) => client.dbsize())).rejects.toThrow();
    expect(await readdir(dir)).toEqual([]);
    expect(original.out).toMatch(/^nothing to do; nothing was written$/m);
    expect(await redis.exists('nowhere', 'cart:dead')).toBe(0);
  });

  it('names keys in a file, on the standard input, and sees mistakes at their place', async () => {
    const file = join(tidemark.dir, 'keys.txt');
    await writeFile(file, `${ODD_TYPED}\nplain\n`);
    const restore = ['restore', SHOP, '--at', good, '--to', 'original', '--yes', '--keys-file'];
    const put = await story.json<WrittenDocument>(0, [...restore, file]);
    expect(put).toMatchObject({ restored: 2, deleted: 0 });
    expect(put.writtenSample.map(({ key }) => key).sort()).toEqual([ODD_SHOWN, 'plain']);
    expect(await redis.get(ODD)).toBe('odd value');
    const again = await story.json<WrittenDocument>(0, [...restore, '-'], `${ODD_SHOWN}\n`);
    expect(again.state).toBe('nothing');
    await writeFile(join(tidemark.dir, 'none.txt'), '\n');
    const outside = iso(secondOf(good) - 3_600);
    const refusals = await Promise.all([
      story.refused(2, ...restore, join(tidemark.dir, 'none.txt')),
      story.refused(2, 'preview', SHOP, '--at', good, '--regex', 'cart:(7|8)'),
      story.refused(2, 'restore', SHOP, '--at', good, '--to', 'new', '--key', 'a\\q'),
      story.refused(13, 'restore', SHOP, '--at', outside, '--to', 'original', '--yes', '--db', '0'),
    ]);
    expect(refusals).toMatchObject([
      { code: 'TM_SELECTOR_EMPTY' },
      { code: 'TM_SELECTOR_SYNTAX', context: { position: 5 } },
      { code: 'TM_SELECTOR_SYNTAX', context: { position: 1 } },
      { code: 'TM_TIME_NOT_RESTORABLE', hint: expect.stringContaining('nearest') as string },
    ]);
  });

  it('learns which key a client changed meanwhile; it is left, and written when that is wanted', async () => {
    const over = new AbortController();
    await redis.set('hot', 0);
    const client = await shop.connect({ password: SECRET });
    const changing = (async () => {
      while (!over.signal.aborted) {
        await client.incr('hot');
        await delay(2);
      }
    })();
    const restore = ['restore', SHOP, '--at', good, '--to', 'original', '--yes', '--key', 'hot'];
    const left = await story.json<WrittenDocument>(3, restore);
    expect(left).toMatchObject({ state: 'partial', conflicts: 1, deleted: 0, undo: null });
    expect(left.left).toMatchObject([{ db: 0, key: 'hot' }]);
    const stopped = await story.run([...restore, '--on-conflict', 'fail']);
    expect(stopped.code).toBe(1);
    expect(stopped.err).toContain('hot');
    expect(await redis.exists('hot')).toBe(1);
    over.abort();
    await changing;
    expect(await story.json(0, restore)).toMatchObject({ deleted: 1, conflicts: 0 });
    expect(await redis.exists('hot')).toBe(0);
  });

  it('after a FLUSHALL everything but that comes back, and what came later stays', async () => {
    const [flush] = await story.lines('find', TILL, '--command', 'FLUSHALL');
    const skip = ['--at', 'latest', '--skip', flush?.before ?? '', '--glob', 'sale:*'];
    const restore = ['restore', TILL, ...skip, '--to', 'original'];
    const dry = await story.json<ComparedDocument>(0, [...restore, '--dry-run']);
    expect(dry.counts).toEqual({ same: 1, changed: 0, missing: 3, created: 0, expired: 0 });
    const fresh = await story.json<RestoreDocument>(0, [
      ...['restore', TILL, ...skip, '--to', 'new', '--port', '0'],
    ]);
    await endStarted(fresh.target, async (client) => {
      expect(await client.mget('sale:1', 'sale:4')).toEqual(['10', '40']);
    });
    await refusals(restore);
    await story.json(0, [...restore, '--yes']);
    const sales = ['sale:1', 'sale:2', 'sale:3', 'sale:4'];
    expect(await tillRedis.mget(...sales)).toEqual(['10', '20', '30', '40']);
    const hole = await haveHole(tidemark, TILL, tillRedis);
    const none = ['restore', TILL, '--at', hole, '--key', 'sale:1', '--to', 'original', '--yes'];
    expect(await story.refused(13, ...none)).toMatchObject({
      code: 'TM_TIME_NOT_RESTORABLE',
      hint: expect.stringContaining('nearest restorable') as string,
    });
  });
});

/** A node that cannot be written to; nothing is. */
async function refusals(restore: readonly string[]): Promise<void> {
  const refused = () => story.refused(1, ...restore, '--yes');
  await tillRedis.config('SET', 'min-replicas-to-write', '1');
  expect(await refused()).toMatchObject({ code: 'TM_WRITE_TARGET' });
  await tillRedis.config('SET', 'min-replicas-to-write', '0');
  await tillRedis.config('SET', 'maxmemory', '1');
  expect(await refused()).toMatchObject({ code: 'TM_TARGET_MEMORY' });
  await tillRedis.config('SET', 'maxmemory', '0');
  await tillRedis.call('ACL', 'SETUSER', 'default', '-restore', '-watch');
  const rights = await refused();
  expect(rights).toMatchObject({
    code: 'TM_NODE_RIGHTS',
    context: { commands: 'WATCH, RESTORE' },
  });
  expect(rights.hint).toContain('+watch +restore');
  await tillRedis.call('ACL', 'SETUSER', 'default', '+@all');
  await tillRedis.replicaof('127.0.0.1', 1);
  expect(await refused()).toMatchObject({
    code: 'TM_WRITE_TARGET',
    context: { role: 'replica' },
  });
  await tillRedis.replicaof('NO', 'ONE');
  expect(await tillRedis.exists('sale:1')).toBe(0);
}

describe.concurrent('a write of many keys ends in the middle', () => {
  const restore = (name: string): string[] => [
    ...['restore', SHOP, '--at', good, '--to', 'original', '--glob', `${name}:*`, ...SLOWLY],
  ];
  const count = async (name: string): Promise<number> => (await redis.keys(`${name}:*`)).length;

  /** Starts the restore and sends a signal when some of the keys are there. */
  const interrupted = async (name: string, signal: NodeJS.Signals) => {
    const args = [...restore(name), '-o', 'json'];
    const child = tidemark.spawn(...args);
    const run = story.watched(child, args);
    while (child.exitCode === null && (await count(name)) < 5) await delay(20);
    expect(await isInArguments(SECRET)).toBe(false);
    child.kill(signal);
    return run;
  };

  it('by Ctrl-C: it says what is written, and undo takes that back', async () => {
    const { code, out, err } = await interrupted('many', 'SIGINT');
    expect(code, err).toBe(130);
    const report = JSON.parse(out) as WrittenDocument;
    const there = await count('many');
    expect(there).toBeLessThan(MANY);
    expect(report).toMatchObject({ state: 'interrupted', restored: there });
    expect(report.undo?.id).toBe(report.id);
    await story.text(0, 'undo', report.id, '--yes');
    expect(await count('many')).toBe(0);
  });

  it('by kill -9: it goes on with --resume, and all of it can be undone', async () => {
    expect((await interrupted('lots', 'SIGKILL')).code).toBe(null);
    expect(await count('lots')).toBeLessThan(MANY);
    const records = await readdir(join(tidemark.dir, 'state', 'write-backs'));
    const kept = await Promise.all(
      records.map((name) => readFile(join(tidemark.dir, 'state', 'write-backs', name), 'utf8')),
    );
    const record = kept.findIndex((text) => text.includes('lots:*'));
    const id = records[record]?.replace('.json', '') ?? '';
    expect(await story.refused(2, 'restore', SHOP, '--abort', id)).toMatchObject({
      hint: `take back what it has written: tidemark undo ${id}`,
    });
    const resumed = await story.text(0, 'restore', SHOP, '--resume', id);
    expect(resumed.out).toContain(`shop at ${good}, timeline `);
    expect(resumed.out).toMatch(/^keys: \d+ selected: 0 changed, /m);
    expect(resumed.out).toMatch(/^written: \d+ keys? \(.*\), 0 deleted, in /m);
    expect(await count('lots')).toBe(MANY);
    // Written before the kill or after it: all lives are as long as they were to each other.
    const lives = await livesOf('lots');
    expect(new Set(lives.map((life, i) => life - (lotsLives[i] ?? 0))).size).toBe(1);
    expect(await redis.get('lots:17')).toBe('17');
    await story.text(0, 'undo', id, '--yes');
    expect(await count('lots')).toBe(0);
  });
});

describe('what was printed', () => {
  it('holds no password, and reads well', () => {
    expect(story.printed.length).toBeGreaterThan(30);
    for (const { command, text } of story.printed) {
      expect(text, command).not.toContain(SECRET);
      expect(text, command).not.toMatch(/\t|\b1 (keys|commands)\b|undefined|NaN|\[object/);
    }
    expect(archiver.log).not.toContain(SECRET);
  });
});
