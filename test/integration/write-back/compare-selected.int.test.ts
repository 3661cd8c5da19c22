import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EVERY_KEY, KeyPair } from '../../support/key-pair.ts';

/** Encodings that the other server does not use. */
const PACKED = { 'hash-max-listpack-entries': '2000', 'list-max-listpack-size': '2000' };
const UNPACKED = {
  'hash-max-listpack-entries': '1',
  'zset-max-listpack-entries': '1',
  'set-max-intset-entries': '1',
  'list-max-listpack-size': '2',
  'list-compress-depth': '1',
  'stream-node-max-entries': '3',
  rdbcompression: 'no',
};
const FAR_MS = 4_000_000_000_000;

let pair: KeyPair;
beforeAll(async () => {
  pair = await KeyPair.start({ config: { ...PACKED, databases: '20' } }, { config: UNPACKED });
});
afterAll(() => pair[Symbol.asyncDispose]());
beforeEach(() => pair.empty());

const text = (i: number): string => `value number ${i.toString()} `.repeat(3);
const many = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** One key of each type, and what makes it another value. */
const VALUES: Readonly<
  Record<string, readonly [(redis: Redis) => Promise<unknown>, (redis: Redis) => Promise<unknown>]>
> = {
  string: [(r) => r.set('k', 'ab'.repeat(500)), (r) => r.append('k', 'x')],
  number: [(r) => r.set('k', '12345'), (r) => r.incr('k')],
  list: [(r) => r.rpush('k', ...many(300).map(text)), (r) => r.lset('k', 7, 'other')],
  set: [
    async (r) => r.sadd('k', ...(await order(r, many(300).map(text)))),
    (r) => r.srem('k', text(3)).then(() => r.sadd('k', 'x')),
  ],
  intset: [
    async (r) => r.sadd('k', ...(await order(r, many(100)))),
    (r) => r.srem('k', 5).then(() => r.sadd('k', 1000)),
  ],
  zset: [
    (r) => r.zadd('k', ...many(100).flatMap((i) => [i / 3, text(i)])),
    (r) => r.zadd('k', 0.1, text(3)),
  ],
  hash: [
    async (r) => r.hset('k', ...(await order(r, many(100))).flatMap((i) => [`f${i}`, text(i)])),
    (r) => r.hset('k', 'f7', 'other'),
  ],
};

/** A stream with groups: one consumer has read and acknowledged, the other has something pending. */
async function writeStream(redis: Redis): Promise<void> {
  for (const i of many(10)) await redis.xadd('k', `${i + 1}-0`, 'field', text(i));
  await redis.xdel('k', '4-0');
  await redis.call('XGROUP', 'CREATE', 'k', 'group', '0');
  await redis.call('XREADGROUP', 'GROUP', 'group', 'one', 'COUNT', '3', 'STREAMS', 'k', '>');
  await redis.xack('k', 'group', '1-0');
  const delivered = ['TIME', '1700000000000', 'RETRYCOUNT', '2', 'JUSTID'];
  for (const id of ['2-0', '3-0']) {
    await redis.call('XCLAIM', 'k', 'group', 'two', '0', id, ...delivered);
  }
}

/** Ways in which streams with the same entries differ. */
const STREAM_CHANGES: Readonly<Record<string, (redis: Redis) => Promise<unknown>>> = {
  'an entry': (r) => r.xadd('k', '11-0', 'field', 'more'),
  'its last id': (r) => r.call('XSETID', 'k', '50-0'),
  'a group': (r) => r.call('XGROUP', 'CREATE', 'k', 'other', '0'),
  'the place of a group': (r) => r.call('XGROUP', 'SETID', 'k', 'group', '9-0'),
  'a consumer': (r) => r.call('XGROUP', 'CREATECONSUMER', 'k', 'group', 'three'),
  'a pending entry': (r) => r.xack('k', 'group', '2-0'),
  'the owner of a pending entry': (r) =>
    r.call('XCLAIM', 'k', 'group', 'one', '0', '2-0', 'TIME', '1700000000000', 'RETRYCOUNT', '2'),
};

/** The same elements in another order on each server. */
async function order<T>(redis: Redis, elements: readonly T[]): Promise<T[]> {
  const reverse = redis === pair.live;
  return Promise.resolve(reverse ? [...elements].reverse() : [...elements]);
}

describe('what became of a key', () => {
  it.each(Object.entries(VALUES))('%s: encodings are no difference', async (_, [write]) => {
    await pair.both(write);
    expect(await pair.compare()).toEqual({ same: 1, keys: {}, differences: [] });
  });

  it.each(Object.entries(VALUES))('%s: another value is one', async (_, [write, change]) => {
    await pair.both(write);
    await change(pair.live);
    const { same, keys } = await pair.compare();
    expect({ same, keys }).toEqual({ same: 0, keys: { changed: ['0:k'] } });
  });

  it('stream: cuts between nodes and times that consumers were seen are no difference', async () => {
    await pair.both(writeStream);
    await pair.live.call('XREADGROUP', 'GROUP', 'group', 'one', 'STREAMS', 'k', '9-0');
    expect(await pair.compare()).toEqual({ same: 1, keys: {}, differences: [] });
  });

  it.each(Object.entries(STREAM_CHANGES))('stream: %s is one', async (_, change) => {
    await pair.both(writeStream);
    await change(pair.live);
    expect((await pair.compare()).keys).toEqual({ changed: ['0:k'] });
  });

  it('tells missing, created and changed keys with type, size, expiry and digest', async () => {
    await pair.then.mset({ same: 'x', gone: 'x', other: 'x', retyped: 'x', kept: 'x' });
    await pair.live.mset({ same: 'x', fresh: 'y', other: 'y', kept: 'x' });
    await pair.live.rpush('retyped', 'x');
    await pair.both((redis) => redis.call('PEXPIREAT', 'same', FAR_MS));
    await pair.live.call('PEXPIREAT', 'kept', FAR_MS);
    const { same, keys, differences } = await pair.compare();
    expect(same).toBe(1);
    expect(keys).toEqual({
      missing: ['0:gone'],
      created: ['0:fresh'],
      changed: ['0:kept', '0:other', '0:retyped'],
    });
    const [kept] = differences.filter(({ key }) => key.toString() === 'kept');
    expect(kept?.then).toMatchObject({ type: 'string', expiryMs: null });
    expect(kept?.live).toMatchObject({ type: 'string', expiryMs: FAR_MS });
    // The same value: the same digest, whatever the expiry.
    expect(kept?.then?.digest).toBe(kept?.live?.digest);
    expect(kept?.then?.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(kept?.then?.bytes).toBeGreaterThan(0);
    const [created] = differences.filter(({ outcome }) => outcome === 'created');
    expect(created).toMatchObject({ then: null, live: { type: 'string' } });
  });

  it('an expiry alone is a difference, to the millisecond', async () => {
    await pair.both((redis, which) =>
      redis.set('k', 'x', 'PXAT', which === 'then' ? FAR_MS : FAR_MS + 1),
    );
    expect((await pair.compare()).keys).toEqual({ changed: ['0:k'] });
  });

  it('walks every database that either side holds, and keys of any bytes', async () => {
    const key = Buffer.from([0, 255, 13, 10, 128]);
    for (let db = 0; db < 16; db += 3) {
      await pair.then.select(db);
      await pair.then.set(key, 'x');
    }
    for (let db = 0; db < 16; db += 5) {
      await pair.live.select(db);
      await pair.live.set(key, 'x');
    }
    const name = key.toString('latin1');
    expect(await pair.compare()).toMatchObject({
      same: 2,
      keys: {
        missing: [`12:${name}`, `3:${name}`, `6:${name}`, `9:${name}`],
        created: [`10:${name}`, `5:${name}`],
      },
    });
  });

  it('a database that the live side has not got is refused by its number', async () => {
    await pair.live.set('k', 'x');
    await pair.then.select(17);
    await pair.then.set('k', 'x');
    await expect(pair.compare()).rejects.toMatchObject({
      ...{ code: 'TM_TARGET_DATABASES', context: { db: 17 } },
    });
    const selector = { ...EVERY_KEY, matchesDb: (db: number) => db !== 17 };
    expect((await pair.compare({ selector })).keys).toEqual({ created: ['0:k'] });
  });

  it('leaves nothing behind on the scratch side', async () => {
    await pair.both(VALUES.hash![0]);
    await pair.compare();
    expect(await pair.then.info('keyspace')).toMatch(/^# Keyspace\r\ndb0:keys=1,[^\r]*\r\n$/);
  });
});

describe('which keys are compared', () => {
  it('literals are looked up by name in the databases that count', async () => {
    const literals = ['a', 'b', 'nowhere'].map((name) => Buffer.from(name));
    await pair.both((redis) => redis.mset({ a: 'x', z: 'x' }));
    await pair.then.set('b', 'x');
    await pair.live.select(3);
    await pair.live.set('a', 'x');
    await pair.live.config('RESETSTAT');
    const selector = { ...EVERY_KEY, literals, matchesDb: (db: number) => db === 0 };
    expect(await pair.compare({ selector })).toMatchObject({ same: 1, keys: { missing: ['0:b'] } });
    expect(await pair.live.info('commandstats')).not.toContain('cmdstat_scan');
  });

  it('keys that the selector does not match are not told', async () => {
    await pair.then.mset({ 'cart:1': 'x', 'user:1': 'x' });
    await pair.live.mset({ 'cart:2': 'x', 'user:2': 'x' });
    const selector = {
      ...EVERY_KEY,
      matches: (_: number, key: Buffer) => key.toString().startsWith('cart:'),
    };
    expect((await pair.compare({ selector })).keys).toEqual({
      missing: ['0:cart:1'],
      created: ['0:cart:2'],
    });
  });

  it('a type is the type at the point, of a key that was not there the type now', async () => {
    await pair.then.mset({ 'was string': 'x', string: 'x' });
    await pair.then.rpush('was list', 'x');
    await pair.live.rpush('was string', 'x');
    await pair.live.rpush('new list', 'x');
    await pair.live.mset({ 'was list': 'x', 'new string': 'x', string: 'x' });
    const selector = {
      ...EVERY_KEY,
      hasTypes: true,
      matchesType: (type: string) => type === 'list',
    };
    expect(await pair.compare({ selector })).toMatchObject({
      same: 0,
      keys: { changed: ['0:was list'], created: ['0:new list'] },
    });
  });
});

describe('keys whose expiry has passed', () => {
  /** Keys that a replica keeps although they have expired, as a scratch server does. */
  async function hide(...keys: string[]): Promise<void> {
    await pair.then.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    for (const key of keys) await pair.then.set(key, 'x', 'PX', 1);
    await pair.then.replicaof('127.0.0.1', 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const show = async (): Promise<void> => {
    await pair.then.replicaof('NO', 'ONE');
    await pair.then.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1');
  };

  it('are told with what is live now; unnamed ones need candidates where they are not', async () => {
    await hide('dead and live', 'dead');
    try {
      await pair.live.set('dead and live', 'x');
      const seen = await pair.compare();
      expect(seen.keys).toEqual({ expired: ['0:dead and live'] });
      expect(seen.differences[0]).toMatchObject({
        then: { type: 'none' },
        live: { type: 'string' },
      });
      const expiring = new Map([
        [0, ['dead', 'dead and live', 'dead', 'never'].map((name) => Buffer.from(name))],
      ]);
      const all = await pair.compare({ expiring });
      expect(all.keys).toEqual({ expired: ['0:dead', '0:dead and live'] });
      const wasDead = (_: number, key: Buffer): boolean => key.toString().startsWith('dead');
      const atThePoint = await pair.compare({ expiring, wasDead });
      expect(atThePoint.keys).toEqual({ created: ['0:dead and live'] });
      const literals = [Buffer.from('dead')];
      const named = await pair.compare({ selector: { ...EVERY_KEY, literals } });
      expect(named.keys).toEqual({ expired: ['0:dead'] });
      expect(named.differences[0]?.live).toBeNull();
    } finally {
      await show();
    }
  });

  it('that had passed at the point make no key of it', async () => {
    await pair.both((redis) => redis.set('k', 'x', 'PXAT', FAR_MS));
    await pair.then.set('dead at T', 'x', 'PXAT', FAR_MS);
    const after = await pair.compare({ atMs: FAR_MS, nowMs: () => FAR_MS + 1 });
    expect(after).toMatchObject({ same: 0, keys: { created: ['0:k'] } });
    const before = await pair.compare({ atMs: FAR_MS - 1, nowMs: () => FAR_MS + 1 });
    expect(before.keys).toEqual({ expired: ['0:dead at T', '0:k'] });
  });
});

describe('SCAN gives keys again', () => {
  it('each is told once while the tables of the live side grow and shrink', async () => {
    const names = (prefix: string, count: number): string[] =>
      many(count).map((i) => `${prefix}${i}`);
    const set = (redis: Redis, keys: string[]): Promise<unknown> =>
      redis.mset(...keys.flatMap((key) => [key, 'x']));
    await set(pair.live, names('stays ', 3_000));
    await set(pair.live, names('goes ', 60_000));
    const { signal } = new AbortController();
    let turns = 0;
    // Between two batches most keys go: the table shrinks under the walk.
    const throttle = {
      take: async () => {
        turns += 1;
        if (turns === 40) await pair.live.unlink(...names('goes ', 60_000));
        if (turns > 40) await pair.live.ping();
      },
      note: () => undefined,
    };
    const { keys, differences } = await pair.compare({ throttle, signal });
    const stays = (keys.created ?? []).filter((name) => name.startsWith('0:stays'));
    expect(stays).toEqual(names('0:stays ', 3_000).sort());
    expect(new Set(differences.map(({ key }) => key.toString())).size).toBe(differences.length);
  });
});
