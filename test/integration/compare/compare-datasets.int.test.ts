import { randomBytes } from 'node:crypto';
import { connectNode, type NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  compareDatasets,
  type Comparison,
} from '../../../services/restorer/src/compare/compare-datasets.ts';
import { writeEveryType } from '../../support/every-type.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { describeWithServer } from '../../support/servers.ts';

const FAR_MS = 4_000_000_000_000;

/** Two servers, each with a connection of the test and one of the comparison. */
class TwoServers implements AsyncDisposable {
  readonly servers: readonly RedisServer[];
  readonly redis: readonly [Redis, Redis];
  readonly clients: readonly [NodeClient, NodeClient];

  private constructor(parts: Pick<TwoServers, 'servers' | 'redis' | 'clients'>) {
    this.servers = parts.servers;
    this.redis = parts.redis;
    this.clients = parts.clients;
  }

  static async start(binary: string): Promise<TwoServers> {
    const [a, b] = [
      await startRedis({ binary, aof: false, config: { 'hash-max-listpack-entries': '4' } }),
      await startRedis({ binary, aof: false }),
    ];
    const client = (server: RedisServer): Promise<NodeClient> =>
      connectNode({ host: 'localhost', port: 0, path: server.socketPath }, { replyTimeoutMs: 0 });
    const redis = [await a.connect(), await b.connect()] as const;
    return new TwoServers({ servers: [a, b], redis, clients: [await client(a), await client(b)] });
  }

  /** Runs the same on both. */
  async both(work: (redis: Redis, which: 0 | 1) => Promise<unknown>): Promise<void> {
    await work(this.redis[0], 0);
    await work(this.redis[1], 1);
  }

  compare(differencesMax = 10): Promise<Comparison> {
    const { signal } = new AbortController();
    return compareDatasets(...this.clients, {
      differencesMax,
      signal,
      onProgress: () => undefined,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) await client.close();
    for (const server of this.servers) await server[Symbol.asyncDispose]();
  }
}

function differencesIn(binary: string, fieldExpiry: boolean): void {
  let two: TwoServers;
  beforeAll(async () => {
    two = await TwoServers.start(binary);
  });
  afterAll(() => two[Symbol.asyncDispose]());
  beforeEach(async () => {
    await two.both(async (redis) => {
      await redis.flushall();
      await redis.call('FUNCTION', 'FLUSH');
      await redis.select(0);
    });
  });

  /** One change of the second server, and what is said of it. */
  const changed = async (key: string, change: (redis: Redis) => Promise<unknown>, what: string) => {
    await change(two.redis[1]);
    const { differences } = await two.compare();
    expect(differences).toContainEqual({ db: 0, key, what });
  };

  it('finds equal what is equal, whatever its encoding and the order it was written in', async () => {
    const values = Array.from({ length: 4_000 }, () => randomBytes(12));
    await two.both(async (redis) => {
      const rest = values.values();
      const next = (): Buffer => rest.next().value ?? Buffer.alloc(0);
      // Ids of streams that the servers make by themselves differ.
      await writeEveryType(redis, next, 'lib');
      await redis.del(...(await keysOf(redis, 'TYPE', 'stream')));
      for (const key of await keysOf(redis)) await redis.pexpireat(key, FAR_MS);
      await redis.select(3);
      await redis.set('in another database', 'x', 'PXAT', FAR_MS);
    });
    const many = Array.from({ length: 3_000 }, (_, i) => `m${i.toString()}`);
    await two.redis[0].sadd('s', ...many);
    await two.redis[1].sadd('s', ...many.reverse());
    expect(await two.compare()).toMatchObject({ differences: [] });
  });

  it('names keys of one side only, bytes escaped', async () => {
    await two.redis[0].set(Buffer.from([0x61, 0x07, 0xff, 0x5c]), 'x');
    await two.redis[1].set('only b', 'x');
    const { differences } = await two.compare();
    expect(differences).toContainEqual({
      db: 0,
      key: 'a\\x07\\xff\\\\',
      what: 'only in the first',
    });
    expect(differences).toContainEqual({ db: 0, key: 'only b', what: 'only in the second' });
  });

  it('finds another value, type or expiry', async () => {
    await two.both((redis) => redis.mset('v', '1', 't', '1', 'e', '1'));
    await changed('v', (redis) => redis.set('v', '2'), 'value');
    await two.redis[1].del('t');
    await changed('t', (redis) => redis.lpush('t', '1'), 'string, not list');
    await two.redis[0].pexpireat('e', FAR_MS);
    await changed('e', (redis) => redis.pexpireat('e', FAR_MS + 1), 'expiry');
  });

  it('finds another order of a list and another score', async () => {
    await two.both(async (redis) => {
      await redis.rpush('l', 'a', 'b');
      await redis.zadd('z', 1, 'm');
    });
    await two.redis[1].zadd('z', 1.5, 'm');
    await changed('z', () => Promise.resolve(), 'value');
    await two.redis[1].del('l');
    await changed('l', (redis) => redis.rpush('l', 'b', 'a'), 'value');
  });

  it('finds other groups, consumers and pending entries of a stream', async () => {
    const stream = async (redis: Redis): Promise<void> => {
      await redis.del('x');
      for (let i = 1; i <= 3; i++) await redis.xadd('x', `${i.toString()}-1`, 'f', 'v');
      await redis.call('XGROUP', 'CREATE', 'x', 'g', '0');
      await redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', 'x', '>');
    };
    await two.both(stream);
    expect((await two.compare()).differences).toEqual([]);
    const pending = 'pending entries of the stream';
    const groups = 'ids or groups of the stream';
    await changed('x', (redis) => redis.call('XACK', 'x', 'g', '1-1'), groups);
    await stream(two.redis[1]);
    await changed('x', (redis) => redis.call('XGROUP', 'CREATE', 'x', 'h', '0'), groups);
    await stream(two.redis[1]);
    await changed('x', (redis) => redis.call('XGROUP', 'CREATECONSUMER', 'x', 'g', 'd'), groups);
    await stream(two.redis[1]);
    const claim = ['XCLAIM', 'x', 'g', 'c', '0', '1-1', 'RETRYCOUNT', '9'] as const;
    await changed('x', (redis) => redis.call(...claim), pending);
  });

  it('finds another library of functions, and counts that differ', async () => {
    const library = (body: string): string =>
      `#!lua name=lib\nredis.register_function('f', function() return ${body} end)`;
    await two.both((redis, which) =>
      redis.call('FUNCTION', 'LOAD', library((1 + which).toString())),
    );
    expect((await two.compare()).differences).toEqual([
      { db: null, key: null, what: 'a library of functions' },
    ]);
    await two.redis[1].set('more', '1');
    expect((await two.compare()).differences).toContainEqual({
      db: 0,
      key: null,
      what: '0 keys, not 1',
    });
  });

  if (fieldExpiry) {
    it('finds another expiry of a field of a hash', async () => {
      await two.both(async (redis) => {
        await redis.hset('h', 'a', '1', 'b', '2');
        await redis.call('HPEXPIREAT', 'h', FAR_MS, 'FIELDS', 1, 'a');
      });
      expect((await two.compare()).differences).toEqual([]);
      const later = ['HPEXPIREAT', 'h', FAR_MS + 1, 'FIELDS', 1, 'a'] as const;
      await changed('h', (redis) => redis.call(...later), 'expiry of hash fields');
    });
  }

  it('ends with the last difference that is wanted', async () => {
    await two.redis[0].mset(
      ...Array.from({ length: 200 }, (_, i) => [`k${i.toString()}`, 'x']).flat(),
    );
    expect((await two.compare(3)).differences).toHaveLength(3);
  });
}

async function keysOf(redis: Redis, ...filter: readonly string[]): Promise<Buffer[]> {
  const words = ['SCAN', 0, 'COUNT', 10_000, ...filter] as const;
  const [, keys] = (await redis.callBuffer(...words)) as [Buffer, Buffer[]];
  return keys;
}

describe('compareDatasets()', () => {
  describeWithServer('redis', '7.0', 'two servers', ({ binary }) => differencesIn(binary, false));
  describeWithServer('redis', '8.0', 'two servers', ({ binary }) => differencesIn(binary, true));
  describeWithServer('valkey', '9.1', 'two servers', ({ binary }) => differencesIn(binary, true));
});
