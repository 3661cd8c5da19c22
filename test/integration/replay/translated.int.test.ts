import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { differences, record, restoreInto } from '../../support/replay-run.ts';
import { RdbBuilder } from '../../support/rdb-builder.ts';
import { startRedis } from '../../support/redis-server.ts';
import {
  describeWithServer,
  findServer,
  serversRequired,
  type ServerProduct,
} from '../../support/servers.ts';
import { TestArchive } from '../../support/test-archive.ts';

type Words = readonly (string | number)[];

const HOUR = 3_600_000;
const POPULATE: readonly Words[] = [
  ['RPUSH', 'list', ...'a b c d e f g h i j'.split(' ')],
  ['RPUSH', 'other', 'x'],
  ['SADD', 'set', ...'a b c d e f'.split(' ')],
  ['ZADD', 'zset', 1, 'a', 2, 'b'],
  ['HSET', 'hash', 'a', 1, 'b', 2, 'c', 3],
  ['MSET', 'a', 1, 'b', 2, 'c', 'x'],
  ...Array.from({ length: 30 }, (_, i): Words => ['XADD', 'stream', `${String(i + 1)}-0`, 'f', i]),
];

/** Forms that redis 6.0 lacks and redis 7.0 logs, each with an equal one. */
const SINCE_60: readonly Words[] = [
  ['SET', 'timed', 'v', 'PX', HOUR],
  ['SET', 'a', 2, 'XX', 'EX', 3600],
  ['SET', 'new', 1, 'NX'],
  ['GETEX', 'b', 'PX', HOUR],
  ['PEXPIRE', 'b', 2 * HOUR, 'GT'],
  ['EXPIRE', 'c', 3600, 'NX'],
  ['LPOP', 'list', 2],
  ['RPOP', 'list', 3],
  ['LMPOP', 1, 'list', 'LEFT', 'COUNT', 2],
  ['LMOVE', 'list', 'other', 'RIGHT', 'LEFT'],
  ['ZADD', 'zset', 'GT', 'CH', 5, 'a'],
  ['ZADD', 'zset', 'LT', 'INCR', -1, 'b'],
  ['SPOP', 'set', 2],
  ['XADD', 'stream', 'NOMKSTREAM', 'MAXLEN', '~', 100, '100-0', 'f', 'v'],
  ['XADD', 'stream', 'MAXLEN', 20, '101-0', 'f', 'v'],
  ['XTRIM', 'stream', 'MAXLEN', '=', 15],
  ['XGROUP', 'CREATE', 'stream', 'group', '0-0', 'ENTRIESREAD', 3],
  ['XREADGROUP', 'GROUP', 'group', 'reader', 'COUNT', 3, 'STREAMS', 'stream', '>'],
  ['XREADGROUP', 'GROUP', 'group', 'noack', 'COUNT', 2, 'NOACK', 'STREAMS', 'stream', '>'],
  ['XGROUP', 'CREATECONSUMER', 'stream', 'group', 'idle'],
  ['XAUTOCLAIM', 'stream', 'group', 'thief', 0, '0-0', 'COUNT', 1],
  ['XACK', 'stream', 'group', '90-0'],
  ['XGROUP', 'SETID', 'stream', 'group', '101-0', 'ENTRIESREAD', 12],
  ['XSETID', 'stream', '200-0', 'ENTRIESADDED', 40, 'MAXDELETEDID', '100-0'],
  ['SELECT', 9],
  ['SET', 'gone', 1],
  ['FLUSHDB', 'SYNC'],
  ['SELECT', 0],
  ['INCRBYFLOAT', 'new', '1.5'],
];
const SINCE_62: readonly Words[] = [
  ['COPY', 'hash', 'copied'],
  ['LMOVE', 'list', 'other', 'LEFT', 'LEFT'],
  ['ZADD', 'zset', 'GT', 5, 'a', 6, 'b'],
  ['ZRANGESTORE', 'ranged', 'zset', 0, -1],
  ['XTRIM', 'stream', 'MINID', '~', '95-0', 'LIMIT', 100],
];
const OF_HASHES: readonly Words[] = [
  ['HSETEX', 'hash', 'FIELDS', 2, 'fnx', 'xx', 'b', 'KEEPTTL'],
  ['HGETDEL', 'hash', 'FIELDS', 2, 'a', 'none'],
];
const FIELD_EXPIRY: readonly Words[] = [
  ['HSETEX', 'mortal', 'PX', HOUR, 'FIELDS', 2, 'f', 1, 'g', 2],
  ['HPEXPIRE', 'mortal', 2 * HOUR, 'GT', 'FIELDS', 1, 'f'],
  ['HINCRBYFLOAT', 'mortal', 'g', '1.5'],
  ['HINCRBY', 'mortal', 'f', 2],
  ['HGETEX', 'mortal', 'PX', 3 * HOUR, 'FIELDS', 1, 'f'],
  ['HSET', 'mortal', 'h', 1],
  ['HSETEX', 'mortal', 'FXX', 'KEEPTTL', 'FIELDS', 1, 'g', 9],
  ['HGETDEL', 'mortal', 'FIELDS', 1, 'h'],
];
const OF_STRINGS: readonly Words[] = [
  ['MSETEX', 2, 'm1', 1, 'm2', 2, 'NX', 'PX', HOUR],
  ['MSETEX', 2, 'm1', 3, 'm3', 4, 'KEEPTTL'],
  ['MSETEX', 1, 'm4', 5],
  ['SET', 'c', 'y', 'IFEQ', 'x'],
];
const VALKEY_91: readonly Words[] = [['DELIFEQ', 'c', 'y']];
const REDIS_86: readonly Words[] = [
  ['DELEX', 'c', 'IFEQ', 'y'],
  ['SET', 'a', 9, 'IFNE', 1, 'KEEPTTL'],
  ['XADD', 'stream', 'KEEPREF', 'MAXLEN', '=', 10, '300-0', 'f', 'v'],
];

const PAIRS: readonly {
  readonly from: string;
  readonly to: string;
  readonly writes: readonly Words[];
  readonly path: 'native' | 'native+converted';
}[] = [
  { from: 'redis 7.0', to: 'redis 6.0', writes: SINCE_60, path: 'native+converted' },
  {
    from: 'redis 8.0',
    to: 'redis 7.0',
    writes: [...SINCE_60, ...SINCE_62, ...OF_HASHES],
    path: 'native+converted',
  },
  {
    from: 'redis 8.6',
    to: 'redis 8.0',
    writes: [...SINCE_60, ...SINCE_62, ...OF_HASHES, ...FIELD_EXPIRY, ...OF_STRINGS, ...REDIS_86],
    path: 'native+converted',
  },
  {
    from: 'redis 8.6',
    to: 'valkey 9.1',
    writes: [...SINCE_60, ...SINCE_62, ...OF_HASHES, ...FIELD_EXPIRY, ...OF_STRINGS, ...REDIS_86],
    path: 'native+converted',
  },
  {
    from: 'valkey 9.1',
    to: 'redis 8.0',
    writes: [...SINCE_60, ...SINCE_62, ...OF_HASHES, ...FIELD_EXPIRY, ...OF_STRINGS, ...VALKEY_91],
    path: 'native+converted',
  },
  {
    from: 'valkey 9.1',
    to: 'valkey 8.1',
    writes: [...SINCE_60, ...SINCE_62, ...OF_HASHES, ...OF_STRINGS, ...VALKEY_91],
    path: 'native+converted',
  },
  {
    from: 'redis 7.0',
    to: 'redis 8.6',
    writes: [...SINCE_60, ...SINCE_62],
    path: 'native',
  },
];

async function write(client: Redis, commands: readonly Words[]): Promise<void> {
  for (const [name, ...args] of commands) await client.call(String(name), ...args);
}

/** A copy of every key by DUMP and RESTORE: its payload is of the source's own kind. */
async function restoreCopies(client: Redis): Promise<void> {
  for (const key of await client.keys('*')) {
    const payload = await client.dumpBuffer(key);
    await client.call('RESTORE', `copy of ${key}`, HOUR, payload, 'REPLACE');
  }
}

const server = (name: string) => {
  const [product, line = ''] = name.split(' ');
  return findServer(product as ServerProduct, line);
};

describe('a log of another server', () => {
  for (const { from, to, writes, path } of PAIRS) {
    const [source, target] = [server(from), server(to)];
    const missing = source === null || target === null;
    it.skipIf(missing && !serversRequired())(
      `is run to the same end: ${from} to ${to}`,
      async () => {
        if (source === null || target === null) throw new Error('a server is missing');
        await using recorded = await record({
          binary: source.binary,
          during: [(client) => write(client, [...POPULATE, ...writes]), restoreCopies],
        });
        await using restored = await startRedis({ binary: target.binary, aof: false });
        const report = await restoreInto(recorded.archive, restored);
        expect(report.path?.name).toBe(path);
        expect(report.path?.source).toBe(`${source.product} ${source.version}`);
        const into = { server: target, client: await restored.connect() };
        const differing = await differences(
          { server: source, client: recorded.client },
          into,
          true,
        );
        expect(differing).toEqual([]);
      },
    );
  }
});

describeWithServer(
  'redis',
  '6.0',
  'a log with times that count from when they were set',
  (redis60) => {
    it('gives a value that was restored the life it had then, in any server', async () => {
      const config = { 'aof-use-rdb-preamble': 'no', appendfsync: 'always' };
      await using source = await startRedis({ binary: redis60.binary, aof: false, config });
      const client = await source.connect();
      await client.config('SET', 'appendonly', 'yes');
      const rewriting = /aof_rewrite_(in_progress|scheduled):1/;
      while (rewriting.test(await client.info('persistence'))) await sleep(20);
      const path = join(source.dir, 'appendonly.aof');
      await client.set('original', 'value');
      const payload = await client.dumpBuffer('original');
      const begun = (await readFile(path)).length;
      const before = await serverTime(client);
      await client.call('RESTORE', 'restored', HOUR, payload);
      const after = await serverTime(client);
      await client.set('last', 1);
      const log = await readFile(path);
      expect(log.subarray(begun).toString('latin1')).toContain(`\r\n${String(HOUR)}\r\n`);

      await using archive = await TestArchive.open();
      await archive.begin('t1', 'attach', { version: redis60.version });
      await archive.snapshot('bk-0', new RdbBuilder({ version: 9 }).build());
      archive.writeLog(log.subarray(0, begun));
      archive.sample(...before);
      archive.writeLog(log.subarray(begun));
      archive.sample(...after);
      await archive.roll();
      await sleep(500); // a replay that counted from its own time would be late by this
      for (const binary of [redis60.binary, 'redis-server']) {
        await using target = await startRedis({ binary, aof: false });
        await restoreInto(archive, target);
        const found = await target.connect();
        expect(await found.get('restored')).toBe('value');
        const [second, ms] = await serverTime(found);
        const expiryMs = second * 1000 + ms + (await found.pttl('restored'));
        expect(expiryMs - HOUR).toBeGreaterThanOrEqual(before[0] * 1000 + before[1] - 5);
        expect(expiryMs - HOUR).toBeLessThanOrEqual(after[0] * 1000 + after[1] + 5);
      }
    });
  },
);

async function serverTime(client: Redis): Promise<[second: number, ms: number]> {
  const [second, micros] = await client.time();
  return [Number(second), Math.floor(Number(micros) / 1000)];
}

describeWithServer(
  'redis',
  '8.6',
  'a target of the same version that lacks commands',
  ({ binary }) => {
    it('is brought to the same end by others', async () => {
      const writes: readonly Words[] = [
        ['HSETEX', 'mortal', 'PX', HOUR, 'FIELDS', 2, 'f', 1, 'g', 2],
        ['HSETEX', 'mortal', 'FIELDS', 1, 'f', 2],
        ['HSETEX', 'mortal', 'FXX', 'PX', 2 * HOUR, 'FIELDS', 2, 'f', 3, 'g', 4],
        ['HGETDEL', 'mortal', 'FIELDS', 1, 'g'],
        ['MSETEX', 2, 'm1', 1, 'm2', 2, 'NX', 'PX', HOUR],
        ['MSETEX', 2, 'm1', 3, 'm3', 4, 'KEEPTTL'],
        ['MSETEX', 1, 'm4', 5],
        ['RPUSH', 'list', 1, 2, 3],
        ['LMOVE', 'list', 'other', 'RIGHT', 'LEFT'],
      ];
      const gone = ['HSETEX', 'HGETDEL', 'MSETEX', 'LMOVE'];
      await using recorded = await record({ binary, during: [(client) => write(client, writes)] });
      const config = { 'rename-command': gone.map((name) => `${name} former-${name}`) };
      await using target = await startRedis({ binary, aof: false, config });
      // The log is not read before: within one version it is the feed that meets what is missing.
      await restoreInto(recorded.archive, target);
      const server = findServer('redis', '8.6')!;
      const client = await target.connect();
      expect(await differences({ server, client: recorded.client }, { server, client })).toEqual(
        [],
      );
      await expect(client.call('HSETEX', 'h', 'FIELDS', 1, 'a', 1)).rejects.toThrow(
        /unknown command/,
      );
    });
  },
);
