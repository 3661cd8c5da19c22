import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { type RedisServer, startRedis } from '../redis-server.ts';
import { lzfStr, len, RdbBuilder, str } from '../rdb-builder.ts';
import { Seeded } from './seeded.ts';

/** What a server can hold beyond the types that all have. */
export interface CorpusServer {
  readonly binary?: string;
  /** Fields of hashes may have an expiry of their own. */
  readonly fieldTtl?: boolean;
  /** Functions (from 7.0 on). */
  readonly functions?: boolean;
}

type Write = (redis: Redis, key: string, random: Seeded) => Promise<unknown>;

const word = (random: Seeded): string => {
  const length = random.pick([1, 3, 7, 20, 70, 150]);
  return random.below(3) === 0
    ? String(random.below(2 ** 31) - 2 ** 30)
    : 'abcdefgh'.charAt(random.below(8)).repeat(length) + String(random.below(1000));
};
const words = (random: Seeded, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${word(random)}${at}`);
const some = (random: Seeded): number => random.pick([1, 2, 5, 12, 40]);

const WRITES: readonly Write[] = [
  (redis, key, random) => redis.set(key, word(random)),
  (redis, key, random) => redis.set(key, random.bytes(random.below(60))),
  (redis, key, random) => redis.set(key, word(random), 'EX', 1_000_000_000 + random.below(1000)),
  (redis, key, random) => redis.rpush(key, ...words(random, some(random))),
  (redis, key, random) => redis.rpush(key, 'x'.repeat(random.pick([100, 300, 300, 9000])), 'tail'),
  (redis, key, random) => redis.sadd(key, ...words(random, some(random))),
  (redis, key, random) =>
    redis.sadd(key, ...Array.from({ length: some(random) }, () => random.below(70_000))),
  (redis, key, random) => redis.sadd(key, '1', '-70000', '5000000000', String(random.below(99))),
  (redis, key, random) => redis.hset(key, ...words(random, 2 * some(random))),
  (redis, key, random) =>
    redis.zadd(
      key,
      ...words(random, some(random)).flatMap((member) => [random.below(1000) / 8, member]),
    ),
  writeStream,
];

async function writeStream(redis: Redis, key: string, random: Seeded): Promise<void> {
  const entries = some(random);
  for (let id = 1; id <= entries; id += 1) {
    await redis.xadd(key, `${id}-1`, ...words(random, random.pick([2, 2, 2, 6])));
  }
  if (random.below(3) === 0) await redis.xdel(key, '1-1');
  if (random.below(2) === 0) return;
  await redis.xgroup('CREATE', key, 'group', '0');
  await redis.xgroup('CREATE', key, 'idle', '$');
  for (const consumer of ['alice', 'bob']) {
    await redis.xreadgroup('GROUP', 'group', consumer, 'COUNT', 3, 'STREAMS', key, '>');
  }
}

/** One dataset of eight to 20 keys, saved. */
async function saveOne(
  server: RedisServer,
  redis: Redis,
  random: Seeded,
  has: CorpusServer,
): Promise<Buffer> {
  await redis.flushall();
  await redis.call('CONFIG', 'SET', 'rdbcompression', random.pick(['yes', 'no']));
  await redis.call('CONFIG', 'SET', 'hash-max-ziplist-entries', random.pick(['4', '512']));
  await redis.call('CONFIG', 'SET', 'zset-max-ziplist-entries', random.pick(['4', '128']));
  if (has.functions === true) {
    const code = `#!lua name=lib\nredis.register_function('f', function() return ${random.below(9)} end)`;
    await redis.call('FUNCTION', 'LOAD', 'REPLACE', code);
  }
  const keys = 8 + random.below(12);
  for (let at = 0; at < keys; at += 1) {
    if (random.below(6) === 0) await redis.select(random.pick([0, 3]));
    await random.pick(WRITES)(redis, `${word(random)}:${at}`, random);
  }
  if (has.fieldTtl === true) {
    for (const fields of [3, 9]) {
      const key = `ttl:${fields}`;
      await redis.hset(key, ...words(random, 2 * fields), 'short', 'lived');
      await redis.call('HPEXPIREAT', key, 4_102_444_800_000, 'FIELDS', 1, 'short');
    }
  }
  await redis.select(0);
  await redis.save();
  return readFile(join(server.dir, 'dump.rdb'));
}

/** RDB files that a real server wrote, of every type it has; at most a few KB each. */
export async function realRdbs(
  count: number,
  seed: number,
  has: CorpusServer = {},
): Promise<Buffer[]> {
  await using server = await startRedis({
    ...(has.binary === undefined ? {} : { binary: has.binary }),
    aof: false,
  });
  const redis = await server.connect();
  const files: Buffer[] = [];
  const random = new Seeded(seed);
  for (let at = 0; at < count; at += 1) files.push(await saveOne(server, redis, random, has));
  return files;
}

/** Types and forms of servers before 6.0, made by hand. */
export function oldRdbs(): Buffer[] {
  const zipmap = Buffer.from([2, 1, 97, 1, 0, 49, 2, 98, 98, 3, 1, 51, 51, 51, 0, 255]);
  return [1, 4, 6].map((version) =>
    new RdbBuilder({ version })
      .selectDb(0)
      .string('string', 'value')
      .entry({ key: 'packed', value: lzfStr('abcabcabc'.repeat(40)) })
      .entry({ key: 'list', type: 1, value: Buffer.concat([len(3), str('a'), str('b'), str('b')]) })
      .entry({ key: 'set', type: 2, value: Buffer.concat([len(2), str('a'), str('b')]) })
      .entry({ key: 'zset', type: 3, value: Buffer.concat([len(3), ...textScores()]) })
      .entry({
        key: 'hash',
        type: 4,
        value: Buffer.concat([len(1), str('f'), str('v')]),
        expirySeconds: 2_000_000_000,
      })
      .entry({ key: 'zipmap', type: 9, value: str(zipmap) })
      .build(),
  );
}

function textScores(): Buffer[] {
  const score = (text: string): Buffer =>
    Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
  return [str('a'), score('1.5'), str('b'), score('-17'), str('c'), Buffer.of(254)];
}
