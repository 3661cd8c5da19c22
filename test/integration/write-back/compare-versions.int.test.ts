import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KeyPair } from '../../support/key-pair.ts';
import { describeWithServer, type ServerBinary } from '../../support/servers.ts';

const FAR_MS = 4_000_000_000_000;
const many = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const text = (i: number): string => `value number ${i.toString()} `.repeat(4);

/** One key of each type, some with a life, in an order that the server decides. */
async function writeAll(redis: Redis, reverse: boolean): Promise<void> {
  const turned = <T>(list: T[]): T[] => (reverse ? list.reverse() : list);
  await redis
    .pipeline()
    .set('string', 'ab'.repeat(3_000))
    .set('number', '17')
    .rpush('list', ...many(500).map(text))
    .sadd('intset', ...turned(many(100)))
    .sadd('set', ...turned(many(300).map(text)))
    .zadd('zset', ...turned(many(200)).flatMap((i) => [i / 7, text(i)]))
    .zadd('scores', '-inf', 'a', '1e300', 'b', 3, 'c', '+inf', 'd')
    .hset('hash', ...turned(many(200)).flatMap((i) => [`f${i}`, text(i)]))
    .exec();
  for (const i of many(300)) await redis.xadd('stream', `${i + 1}-5`, 'field', text(i));
  await redis.xdel('stream', '7-5');
  await redis.call('XGROUP', 'CREATE', 'stream', 'group', '10-0');
  await redis.call('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '3', 'STREAMS', 'stream', '>');
  for (const id of ['10-5', '11-5', '12-5']) {
    await redis.call('XCLAIM', 'stream', 'group', 'me', '0', id, 'TIME', '1700000000000');
  }
  await redis.call('PEXPIREAT', 'list', FAR_MS);
  await redis.call('PEXPIREAT', 'stream', FAR_MS);
}

const CHANGES: Readonly<Record<string, (redis: Redis) => Promise<unknown>>> = {
  string: (r) => r.setrange('string', 100, 'x'),
  number: (r) => r.set('number', '17.0'),
  list: (r) => r.lset('list', 400, 'x'),
  set: (r) => r.sadd('set', 'x'),
  zset: (r) => r.zincrby('zset', 1e-9, text(3)),
  hash: (r) => r.hset('hash', 'f3', 'x'),
  stream: (r) => r.xack('stream', 'group', '10-5'),
};

/** The scratch server is the one of the PATH, the original any other. */
function otherOriginal({ binary }: ServerBinary): void {
  let pair: KeyPair;
  beforeAll(async () => {
    const config = { 'list-max-ziplist-size': '3', 'stream-node-max-entries': '9' };
    pair = await KeyPair.start({}, { binary, config });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  it('holds the same values in its own forms', async () => {
    await pair.both((redis, which) => writeAll(redis, which === 'live'));
    expect(await pair.compare()).toEqual({ same: 9, keys: {}, differences: [] });
  });

  it.each(Object.entries(CHANGES))('shows that its %s is another', async (key, change) => {
    await change(pair.live);
    expect((await pair.compare()).keys['changed']).toContain(`0:${key}`);
  });

  it('shows that an expiry is another', async () => {
    await pair.both((redis, which) =>
      redis.set('life', 'x', 'PX', 3_600_000 + (which === 'live' ? 1_000 : 0)),
    );
    expect((await pair.compare()).keys['changed']).toContain('0:life');
  });
}

/** The scratch server does not know expiries of hash fields, the original does. */
function expiriesBeside({ binary }: ServerBinary): void {
  it('an expiry that a field was given since is a change', async () => {
    await using pair = await KeyPair.start({}, { binary });
    await pair.both((redis) => redis.hset('k', 'a', '1', 'b', '2'));
    expect(await pair.compare()).toMatchObject({ same: 1 });
    await pair.live.call('HPEXPIREAT', 'k', FAR_MS, 'FIELDS', '1', 'b');
    expect((await pair.compare()).keys).toEqual({ changed: ['0:k'] });
    await pair.live.call('HPERSIST', 'k', 'FIELDS', '1', 'b');
    expect(await pair.compare()).toMatchObject({ same: 1, keys: {} });
  });
}

/** Both know expiries of hash fields. */
function fieldExpiries({ binary }: ServerBinary): void {
  let pair: KeyPair;
  beforeAll(async () => {
    pair = await KeyPair.start(
      { binary },
      { binary, config: { 'hash-max-listpack-entries': '1' } },
    );
  });
  afterAll(() => pair[Symbol.asyncDispose]());
  beforeEach(async () => {
    await pair.empty();
    await pair.both(async (redis) => {
      await redis.hset('k', 'a', '1', 'b', '2', 'c', '3');
      await redis.call('HPEXPIREAT', 'k', FAR_MS, 'FIELDS', '2', 'a', 'b');
    });
  });

  const verdict = async (change: (redis: Redis) => Promise<unknown>): Promise<unknown> => {
    await change(pair.live);
    const { same, keys } = await pair.compare();
    return { same, keys };
  };
  const SAME = { same: 1, keys: {} };
  const CHANGED = { same: 0, keys: { changed: ['0:k'] } };

  it('the same in another encoding are the same', async () => {
    expect(await verdict(() => Promise.resolve())).toEqual(SAME);
  });

  it.each([
    ['another expiry of a field', (r) => r.call('HPEXPIREAT', 'k', FAR_MS + 1, 'FIELDS', '1', 'a')],
    ['a field that lives on', (r) => r.call('HPERSIST', 'k', 'FIELDS', '1', 'a')],
    ['a field less', (r) => r.hdel('k', 'c')],
    ['a field more', (r) => r.hset('k', 'd', '4')],
    ['another value', (r) => r.hset('k', 'c', '4')],
  ] as [string, (redis: Redis) => Promise<unknown>][])('%s is a change', async (_, change) => {
    expect(await verdict(change)).toEqual(CHANGED);
  });

  it('a field that has expired is none, though a replica keeps it', async () => {
    await pair.both((redis, which) =>
      which === 'live' ? redis.hdel('k', 'a') : Promise.resolve(),
    );
    await pair.then.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    await pair.then.call('HPEXPIREAT', 'k', Date.now() + 300, 'FIELDS', '1', 'a');
    await pair.then.replicaof('127.0.0.1', 1);
    await new Promise((resolve) => setTimeout(resolve, 350));
    expect(await pair.then.hlen('k')).toBe(3);
    expect(await verdict(() => Promise.resolve())).toEqual(SAME);
    expect(await verdict((redis) => redis.hset('k', 'a', '1'))).toEqual(CHANGED);
    await pair.then.replicaof('NO', 'ONE');
  });

  it('a hash of which every field has expired is no key', async () => {
    await pair.live.del('k');
    await pair.then.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    await pair.then.call('HPEXPIREAT', 'k', Date.now() + 300, 'FIELDS', '3', 'a', 'b', 'c');
    await pair.then.replicaof('127.0.0.1', 1);
    await new Promise((resolve) => setTimeout(resolve, 350));
    const { differences } = await pair.compare();
    expect(differences).toMatchObject([{ outcome: 'expired', then: { type: 'none' }, live: null }]);
    await pair.then.replicaof('NO', 'ONE');
  });
}

const ORIGINALS = [
  ['redis', '6.0'],
  ['redis', '8.6'],
  ['valkey', '8.1'],
  ['valkey', '9.1'],
] as const;
for (const [product, line] of ORIGINALS) {
  describeWithServer(product, line, 'an original of another version', otherOriginal);
}
describe('expiries of hash fields', () => {
  describeWithServer('redis', '8.0', 'of Redis', fieldExpiries);
  describeWithServer('valkey', '9.1', 'of Valkey', fieldExpiries);
  describeWithServer('redis', '8.6', 'beside a server without', expiriesBeside);
  describeWithServer('valkey', '9.1', 'beside a server without', expiriesBeside);
});
