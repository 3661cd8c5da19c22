import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { iso, Tidemark } from '../support/tidemark-cli.ts';

const ID = 'shop';

interface Compared {
  readonly counts: Readonly<Record<string, number>>;
  readonly sample: readonly { readonly outcome: string; readonly key: string }[];
  readonly write?: { readonly put: number; readonly deleted: number };
}

let tidemark: Tidemark;
let source: RedisServer;
let redis: Redis;
/** A second at whose end the carts are still there. */
let good = 0;

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis()]);
  redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  await redis.mset({ 'cart:1': 'one', 'cart:2': 'two', 'cart:3': 'three', 'user:1': 'x' });
  good = Math.floor(Date.now() / 1000);
  await delay(1_100);
  await redis.set('cart:2', 'changed');
  await redis.del('cart:3', 'user:1');
  await redis.set('cart:4', 'new');
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});
afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

describe.concurrent('preview and diff', () => {
  it('preview names what would be put and deleted, and nothing is written', async () => {
    const found = await tidemark.json<Compared>(
      ...['preview', ID, '--at', iso(good), '--glob', 'cart:*'],
    );
    expect(found.counts).toEqual({ same: 1, changed: 1, missing: 1, created: 1, expired: 0 });
    expect(found.write).toMatchObject({ put: 2, deleted: 1 });
    expect(await redis.mget('cart:2', 'cart:3', 'cart:4')).toEqual(['changed', null, 'new']);
    const { out } = await tidemark.run('preview', ID, '--at', iso(good), '--glob', 'cart:*');
    expect(out).toMatch(
      /^keys: 4 selected: 1 changed, 1 missing now, 1 created since, 0 expired since, 1 same$/m,
    );
    expect(out).toMatch(
      /^write: 2 keys to put \(.*\), 1 to delete \(not there then\); about \d+ s$/m,
    );
    expect(out).toMatch(/^missing +0 +cart:3 +string, .*, no expiry +not there$/m);
  });

  it('preview of keys that are nowhere has nothing to do', async () => {
    const { code, out } = await tidemark.run('preview', ID, '--at', iso(good), '--key', 'nowhere');
    expect(code).toBe(0);
    expect(out).toMatch(/^nothing to do; nothing was written$/m);
  });

  it('diff shows two points, or one and now, and values only when they are wanted', async () => {
    const words = ['diff', ID, '--glob', 'cart:*', '--from', iso(good), '--to'];
    const found = await tidemark.json<Compared>(...words, 'latest');
    expect(found.sample.map(({ outcome, key }) => `${outcome} ${key}`)).toEqual([
      ...['changed cart:2', 'missing cart:3', 'created cart:4'],
    ]);
    const live = await tidemark.run(...words, 'live', '--values');
    expect(live.out).toContain('changed db 0 cart:2\n  - "two"\n  + "changed"\n');
    expect((await tidemark.run(...words, 'live')).out).not.toContain('"two"');
  });

  it('both want to be told which keys, and refuse flags that cannot be read', async () => {
    const nothing = { code: 'TM_SELECTOR_EMPTY' };
    expect(await tidemark.refused(2, 'preview', ID, '--at', iso(good))).toMatchObject(nothing);
    expect(await tidemark.refused(2, 'diff', ID, '--from', '-1h', '--to', 'live')).toMatchObject(
      nothing,
    );
    const flags = ['--key', 'a', '--at', iso(good), '--max-latency', 'soon'];
    expect(await tidemark.refused(2, 'preview', ID, ...flags)).toMatchObject({ code: 'TM_CONFIG' });
  });
});
