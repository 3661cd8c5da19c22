import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { record } from '../../support/replay-run.ts';
import { describeWithServer } from '../../support/servers.ts';
import { HookedStore } from '../../support/write-back/hooked-store.ts';
import {
  originalOf,
  realEnvironment,
  undo,
  writeBack,
} from '../../support/write-back/write-run.ts';

const FAR_MS = 4_000_000_000_000;
/** 20 MB in 2,000 elements. */
const element = (i: number, text: string): string => `${text} ${String(i)} `.padEnd(10_000, text);
const elements = (text: string): string[] =>
  Array.from({ length: 2_000 }, (_, i) => element(i, text));

async function fill(redis: Redis, text: string): Promise<void> {
  const all = elements(text);
  await redis.set('string', all.join(''), 'PXAT', FAR_MS);
  await redis.del('list', 'set', 'zset', 'hash', 'stream');
  for (let from = 0; from < all.length; from += 500) {
    const some = all.slice(from, from + 500);
    await redis.rpush('list', ...some);
    await redis.sadd('set', ...some);
    await redis.zadd('zset', ...some.flatMap((member, i) => [from + i + 0.1, member]));
    await redis.hset('hash', ...some.flatMap((value, i) => [`f${String(from + i)}`, value]));
    const pipeline = redis.pipeline();
    for (const [i, value] of some.entries())
      pipeline.xadd('stream', `1-${String(from + i + 1)}`, 'f', value);
    await pipeline.exec();
  }
  await redis.xgroup('CREATE', 'stream', `group ${text}`, '1-2');
  await redis.call(
    'XCLAIM',
    'stream',
    `group ${text}`,
    'me',
    0,
    '1-1',
    'TIME',
    1_700_000_000_000,
    'RETRYCOUNT',
    3,
    'FORCE',
  );
  await redis.call(
    'XCLAIM',
    'stream',
    `group ${text}`,
    'me',
    0,
    '1-5',
    'TIME',
    1_700_000_000_000,
    'RETRYCOUNT',
    1,
    'FORCE',
  );
  await redis.xdel('stream', '1-5');
  await redis.pexpireat('list', FAR_MS + text.length);
}

const temporaryKeys = (client: Redis): Promise<string[]> => client.keys('tidemark:*');

describe('values of 20 MB', () => {
  it('of every type travel in pieces, there and back, and leave no key behind', async () => {
    let then: Oracle | null = null;
    await using recorded = await record({
      config: { save: '' },
      during: [
        async (client) => {
          await fill(client, 'then');
          then = await readOracle(client);
        },
        (client) => fill(client, 'now!'),
      ],
    });
    const { client } = recorded;
    const before = await readOracle(client);
    await client.config('RESETSTAT');
    const { report, failure } = await writeBack(recorded);
    expect(failure).toBeNull();
    expect(report).toMatchObject({ state: 'succeeded', restored: 6, conflicts: 0, refused: 0 });
    expect(diffOracle(then!, await readOracle(client))).toEqual([]);
    expect(await temporaryKeys(client)).toEqual([]);
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'succeeded', restored: 6, conflicts: 0 });
    expect(diffOracle(before, await readOracle(client))).toEqual([]);
    expect(await temporaryKeys(client)).toEqual([]);
    expect(await client.info('commandstats')).not.toMatch(/cmdstat_(dump|restore):/);
  });

  it('that are given up half way leave no key behind', async () => {
    await using recorded = await record({
      config: { save: '' },
      during: [
        (client) => client.set('string', elements('then').join('')),
        (client) => client.set('string', 'now'),
      ],
    });
    const { client } = recorded;
    const { store } = await realEnvironment(recorded);
    const cancel = new AbortController();
    const { failure } = await writeBack(recorded, {
      environment: {
        store: new HookedStore(store, {
          before: async () => {
            expect(await temporaryKeys(client)).toHaveLength(1);
            expect(await client.pttl((await temporaryKeys(client))[0]!)).toBeGreaterThan(0);
            cancel.abort(new Error('given up'));
          },
        }),
        signal: cancel.signal,
      },
    });
    expect(failure?.message).toBe('given up');
    expect(await temporaryKeys(client)).toEqual([]);
    expect(await client.get('string')).toBe('now');
  });
});

describeWithServer('redis', '8.0', 'a hash of 20 MB with expiries of fields', (server) => {
  it('gets its fields and their expiries, and an undo gives back what was there', async () => {
    const oracles: Oracle[] = [];
    const write = async (client: Redis, text: string): Promise<void> => {
      const flat = elements(text).flatMap((value, i) => [`f${String(i)}`, value]);
      for (let from = 0; from < flat.length; from += 1_000) {
        await client.hset('hash', ...flat.slice(from, from + 1_000));
      }
      await client.call(
        'HPEXPIREAT',
        'hash',
        FAR_MS + text.length,
        'FIELDS',
        3,
        'f1',
        'f7',
        'f1999',
      );
      await client.hset('small', 'f', text, 'g', text);
      await client.call('HPEXPIREAT', 'small', FAR_MS + text.length, 'FIELDS', 1, 'g');
      oracles.push(await readOracle(client, { hashes: true }));
    };
    await using recorded = await record({
      binary: server.binary,
      config: { save: '' },
      during: [(client) => write(client, 'then'), (client) => write(client, 'changed')],
    });
    const { client } = recorded;
    // The scratch server is the one of the PATH, which knows no expiries of fields.
    const path = process.env.PATH;
    process.env.PATH = `${server.binary.replace(/\/[^/]*$/, '')}:${path ?? ''}`;
    try {
      const live = originalOf(recorded);
      const { report, failure } = await writeBack(recorded, { live });
      expect(failure).toBeNull();
      expect(report).toMatchObject({ state: 'succeeded', restored: 2 });
      expect(diffOracle(oracles[0]!, await readOracle(client, { hashes: true }))).toEqual([]);
      const undone = await undo(recorded, report.id);
      expect(undone.report).toMatchObject({ restored: 2, conflicts: 0 });
      expect(diffOracle(oracles[1]!, await readOracle(client, { hashes: true }))).toEqual([]);
    } finally {
      process.env.PATH = path;
    }
  });
});
