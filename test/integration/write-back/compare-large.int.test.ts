import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_KEY, KeyPair } from '../../support/key-pair.ts';

const ELEMENTS = 20_000;
const MEMORY_GROWTH_MAX = 96 * 1024 * 1024;

/** About 20 MB each; the encodings and the order of elements differ with the server. */
const LARGE: Readonly<Record<string, string>> = {
  string: `redis.call('SETRANGE', KEYS[1], 20 * 1024 * 1024, 'end')`,
  list: `redis.call('RPUSH', KEYS[1], text(i))`,
  set: `redis.call('SADD', KEYS[1], text(i))`,
  zset: `redis.call('ZADD', KEYS[1], i / 3, text(i))`,
  hash: `redis.call('HSET', KEYS[1], 'field ' .. i, text(i))`,
  stream: `redis.call('XADD', KEYS[1], i .. '-1', 'field', text(i))`,
};

/** One difference near the end, of the same size. */
const CHANGES: Readonly<Record<string, (redis: Redis) => Promise<unknown>>> = {
  string: (r) => r.setrange('string', 20 * 1024 * 1024 - 5, 'x'),
  list: (r) => r.lset('list', ELEMENTS - 3, 'x'.repeat(1_000)),
  set: (r) => r.spop('set').then(() => r.sadd('set', 'x'.repeat(1_000))),
  zset: (r) => r.zincrby('zset', 0.25, 'x'.repeat(1_000)).then(() => r.zpopmax('zset')),
  hash: (r) => r.hset('hash', `field ${ELEMENTS - 3}`, 'x'.repeat(1_000)),
  stream: (r) => r.call('XACK', 'stream', 'group', `${ELEMENTS - 3}-1`),
};

/** @param direction - The order in which unordered elements are written. */
function write(redis: Redis, type: string, body: string, direction: 1 | -1): Promise<unknown> {
  const ordered = type === 'list' || type === 'stream';
  const up = ordered || direction === 1;
  const loop = up ? `1, ${ELEMENTS}` : `${ELEMENTS}, 1, -1`;
  return redis.eval(
    `local function text(i) return string.rep(string.char(97 + i % 26), 990) .. i end
     for i = ${type === 'string' ? '1, 1' : loop} do ${body} end`,
    1,
    type,
  );
}

describe('values of 20 MB', () => {
  let pair: KeyPair;
  beforeAll(async () => {
    const config = { 'list-max-listpack-size': '20', 'stream-node-max-entries': '7' };
    pair = await KeyPair.start({}, { config });
    await pair.both(async (redis, which) => {
      for (const [type, body] of Object.entries(LARGE)) {
        await write(redis, type, body, which === 'then' ? 1 : -1);
      }
      await redis.call('XGROUP', 'CREATE', 'stream', 'group', '0');
      const taken = ['COUNT', ELEMENTS, 'STREAMS', 'stream', '>'];
      if (which === 'then') await redis.call('XREADGROUP', 'GROUP', 'group', 'one', ...taken);
    });
    // Delivered at the same time: that of the other server.
    const times = (await pair.then.call('XPENDING', 'stream', 'group', '-', '+', '1')) as [
      [string, string, number, number],
    ];
    const atMs = Date.now() - times[0][2];
    await pair.live.eval(
      `for i = 1, ${ELEMENTS} do redis.call('XCLAIM', 'stream', 'group', 'one', 0, i .. '-1',
         'TIME', ARGV[1], 'RETRYCOUNT', 1, 'FORCE', 'JUSTID') end
       redis.call('XGROUP', 'SETID', 'stream', 'group', '${ELEMENTS}-1')`,
      0,
      atMs,
    );
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  it('are compared in pieces: same when they are, no DUMP of them, memory flat', async () => {
    await pair.live.config('RESETSTAT');
    const before = process.memoryUsage().rss;
    let peak = before;
    const throttle = {
      take: () => {
        peak = Math.max(peak, process.memoryUsage().rss);
        return Promise.resolve();
      },
      note: () => undefined,
    };
    expect(await pair.compare({ throttle })).toEqual({ same: 6, keys: {}, differences: [] });
    expect(peak - before).toBeLessThan(MEMORY_GROWTH_MAX);
    expect(await pair.live.info('commandstats')).not.toContain('cmdstat_dump');
  });

  it.each(Object.entries(CHANGES))('%s: one small difference is found', async (type, change) => {
    await change(pair.live);
    const selector = { ...EVERY_KEY, literals: [Buffer.from(type)] };
    const { differences } = await pair.compare({ selector });
    expect(differences).toMatchObject([{ outcome: 'changed', live: { type, digest: null } }]);
  });

  it.each(['list', 'stream', 'hash'])(
    '%s: becoming another type meanwhile is a change',
    async (type) => {
      let turns = 0;
      const throttle = {
        take: async () => {
          turns += 1;
          if (turns === 12) await pair.live.multi().del(type).set(type, 'x').exec();
        },
        note: () => undefined,
      };
      await pair.both((redis) => redis.del(type));
      await pair.both((redis) => write(redis, type, LARGE[type] ?? '', 1));
      const selector = { ...EVERY_KEY, literals: [Buffer.from(type)] };
      const { keys } = await pair.compare({ selector, throttle });
      expect(turns).toBeGreaterThan(11);
      expect(keys).toEqual({ changed: [`0:${type}`] });
    },
  );
});
