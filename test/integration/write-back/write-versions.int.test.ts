import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { record } from '../../support/replay-run.ts';
import { describeWithServer, newestServer } from '../../support/servers.ts';
import { originalOf, undo, writeBack } from '../../support/write-back/write-run.ts';

const FAR_MS = 4_000_000_000_000;

/** Values in small and in large encodings, which other servers write in another form. */
async function fill(client: Redis, text: string): Promise<void> {
  const many = Array.from({ length: 600 }, (_, i) => `${text} ${String(i)}`);
  const pipeline = client.pipeline();
  for (const [name, some] of [
    ['small', many.slice(0, 4)],
    ['large', many],
  ] as const) {
    for (const type of ['list', 'set', 'hash', 'zset', 'stream']) pipeline.del(`${name} ${type}`);
    pipeline.rpush(`${name} list`, ...some);
    pipeline.sadd(`${name} set`, ...some);
    pipeline.hset(`${name} hash`, ...some);
    pipeline.zadd(`${name} zset`, ...some.flatMap((member, i) => [i / 3, member]));
    for (const [i, value] of some.entries()) {
      pipeline.xadd(`${name} stream`, `1-${String(i + 1)}`, 'f', value);
    }
  }
  pipeline.sadd('numbers', 1, 2, 3, text.length);
  pipeline.set('life', text);
  pipeline.pexpireat('life', FAR_MS + text.length);
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

const KEYS = ['list', 'set', 'hash', 'zset', 'stream'].flatMap((type) => [
  `small ${type}`,
  `large ${type}`,
]);

async function digests(client: Redis): Promise<readonly unknown[]> {
  const values = await client.call('DEBUG', 'DIGEST-VALUE', 'numbers', 'life', ...KEYS);
  const left = await client.pttl('life');
  return [...(values as string[]), Math.round((Date.now() + left - FAR_MS) / 100)];
}

interface Wish {
  readonly binary?: string;
  readonly config?: Record<string, string>;
  readonly before?: (client: Redis) => Promise<unknown>;
  /** Another server that stands for the original; it holds what the source holds now. */
  readonly original?: RedisServer;
}

/** Writes, holds against what was there then, undoes, holds against what was there before. */
async function thereAndBack({ original, ...wish }: Wish): Promise<void> {
  let then: readonly unknown[] = [];
  await using recorded = await record({
    ...wish,
    during: [
      async (source) => {
        await fill(source, 'then');
        then = await digests(source);
      },
      (source) => fill(source, 'changed'),
    ],
  });
  const client = original === undefined ? recorded.client : await original.connect();
  if (original !== undefined) await fill(client, 'changed');
  const live = originalOf(recorded, original === undefined ? {} : { port: original.port });
  const before = await digests(client);
  const { report, failure } = await writeBack(recorded, { live });
  expect(failure).toBeNull();
  expect(report).toMatchObject({ state: 'succeeded', restored: 12, left: [] });
  expect(await digests(client)).toEqual(then);
  const again = await writeBack(recorded, { live });
  expect(again.report).toMatchObject({ state: 'nothing', undo: null });
  const undone = await undo(recorded, report.id, { live });
  expect(undone.report).toMatchObject({ state: 'succeeded', restored: 12, left: [] });
  expect(await digests(client)).toEqual(before);
}

describeWithServer('redis', '6.0', 'an original that tells no expiry times', (server) => {
  it('is written to and put back', async () => {
    await using original = await startRedis({ binary: server.binary });
    await thereAndBack({ original });
  });
});

describe('the newest servers', () => {
  it.each(['redis', 'valkey'] as const)('of %s are written to and put back', async (product) => {
    const server = newestServer(product);
    if (server === null) return;
    await thereAndBack({ binary: server.binary });
  });
});

describe('an original with other limits of encodings', () => {
  it('is written to and put back: other encodings are no change', () =>
    thereAndBack({
      config: {
        'hash-max-listpack-entries': '2',
        'zset-max-listpack-entries': '2',
        'set-max-intset-entries': '2',
        'list-max-listpack-size': '3',
        'stream-node-max-entries': '2',
      },
    }));
});

describe('an original in cluster mode that has all slots', () => {
  it('is written to and put back, slot by slot', () =>
    thereAndBack({
      config: { 'cluster-enabled': 'yes' },
      before: async (client) => {
        await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
        await expect
          .poll(() => client.call('CLUSTER', 'INFO'), { timeout: 60_000 })
          .toContain('cluster_state:ok');
      },
    }));
});
