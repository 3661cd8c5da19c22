import { setTimeout as sleep } from 'node:timers/promises';
import type { ChainableCommander, Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { differences, record, restoreInto, type Act } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { describeWithServer, type ServerBinary } from '../../support/servers.ts';

const LIFE_MS = 1500;
/** They must live until the snapshot is made. */
const LONGER_MS = 5000;
/** What every server with field expiries can do to a field that has one. */
const WRITES: readonly (readonly (string | number)[])[] = [
  ['HPERSIST', 'persist', 'FIELDS', 1, 'f'],
  ['HINCRBY', 'incr', 'f', 5],
  ['HINCRBYFLOAT', 'float', 'f', '1.5'],
  ['HSETEX', 'keep', 'KEEPTTL', 'FIELDS', 1, 'f', 7],
  ['HSETEX', 'px', 'PX', 3_600_000, 'FIELDS', 1, 'f', 8],
  ['HSETEX', 'conditional', 'FXX', 'KEEPTTL', 'FIELDS', 1, 'f', 8],
  ['HSET', 'set', 'f', 9],
  ['HSETNX', 'setnx', 'f', 10],
  ['HPEXPIRE', 'xx', 3_600_000, 'XX', 'FIELDS', 1, 'f'],
  ['HGETEX', 'getex', 'PERSIST', 'FIELDS', 1, 'f'],
  ['HDEL', 'del', 'f'],
  ['HPEXPIRE', 'gone', 0, 'FIELDS', 1, 'f'],
  ['RENAME', 'rename', 'renamed'],
  ['COPY', 'copy', 'copied'],
];

async function all(pipeline: ChainableCommander): Promise<void> {
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

/** Gives a field of every hash an expiry that passes before the replay. */
function mortalFields(lifeMs: number): Act {
  return async (client) => {
    const pipeline = client.pipeline();
    for (const [, key] of WRITES) {
      pipeline.hset(String(key), 'f', 1, 'other', 'o');
      pipeline.call('HPEXPIRE', String(key), lifeMs, 'FIELDS', 1, 'f');
    }
    await all(pipeline);
  };
}

/** Acts on those fields while they live. */
async function actOnFields(client: Redis): Promise<void> {
  const pipeline = client.pipeline();
  for (const [name, ...args] of WRITES) pipeline.call(String(name), ...args);
  // What still has the short expiry loses it, so that what the writes left can be looked at.
  for (const key of [
    'incr',
    'float',
    'keep',
    'conditional',
    'setnx',
    'renamed',
    'copy',
    'copied',
  ]) {
    pipeline.call('HPERSIST', key, 'FIELDS', 1, 'f');
  }
  await all(pipeline);
}

interface Later {
  /** Whether the snapshot has the fields, or the log. */
  readonly inSnapshot?: boolean;
}

async function replayLater(
  source: ServerBinary,
  target: ServerBinary,
  { inSnapshot = false }: Later = {},
): Promise<void> {
  const { binary } = source;
  const lifeMs = inSnapshot ? LONGER_MS : LIFE_MS;
  const make = mortalFields(lifeMs);
  await using recorded = await record(
    inSnapshot
      ? { binary, before: make, during: [actOnFields] }
      : { binary, during: [(client) => make(client).then(() => actOnFields(client))] },
  );
  await using restored = await startRedis({ binary: target.binary, aof: false });
  expect(await recorded.client.dbsize()).toBe(WRITES.length + 1);
  await sleep(lifeMs);
  await restoreInto(recorded.archive, restored);
  await sleep(300); // the active expiry of a promoted server takes what is dead
  const from = { server: source, client: recorded.client };
  const into = { server: target, client: await restored.connect() };
  expect(await differences(from, into, true)).toEqual([]);
}

describeWithServer('redis', '8.0', 'a field whose time has passed by the replay', (redis80) => {
  it.concurrent('is written as it was at the time', () => replayLater(redis80, redis80));
  it.concurrent('also when it comes with the snapshot', () =>
    replayLater(redis80, redis80, { inSnapshot: true }),
  );

  describeWithServer('redis', '8.6', 'into the newest', (redis86) => {
    it.concurrent('is written as it was at the time', () => replayLater(redis80, redis86));
  });

  describeWithServer('valkey', '9.1', 'into another product and back', (valkey91) => {
    it.concurrent('is written as it was at the time', () => replayLater(redis80, valkey91));
    it.concurrent('also the other way', () => replayLater(valkey91, redis80));
    it.concurrent('also when it comes with the snapshot', () =>
      replayLater(valkey91, redis80, { inSnapshot: true }),
    );
    it.concurrent('also within it', () => replayLater(valkey91, valkey91));
  });
});
