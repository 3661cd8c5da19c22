import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { listStoreFiles } from '../support/store-files.ts';
import { iso, Tidemark } from '../support/tidemark-cli.ts';

const ID = 'shop';
const NAMES = Array.from({ length: 120 }, (_, i) => `cart:${String(i)}`);

interface Written {
  readonly id: string;
  readonly state: string;
  readonly restored: number;
  readonly deleted: number;
  readonly conflicts: number;
}
interface Packs {
  readonly packs: readonly { readonly restore: string; readonly keys: number }[];
}

let tidemark: Tidemark;
let source: RedisServer;
let redis: Redis;
/** A second at whose end the carts are as they were. */
let good = 0;

const all = (value: string): Record<string, string> =>
  Object.fromEntries(NAMES.map((name) => [name, `${value} ${name}`]));
const count = async (value: string): Promise<number> =>
  (await redis.mget(NAMES)).filter((found) => found?.startsWith(value) === true).length;
const restore = (...flags: string[]): string[] => [
  ...['restore', ID, '--at', iso(good), '--to', 'original', '--glob', 'cart:*', ...flags],
];
const latestPack = async (): Promise<string> =>
  (await tidemark.json<Packs>('undo', '--list', ID)).packs.at(-1)?.restore ?? '';

/** What the log of the instance says of a name, in order. */
async function loggedTypes(name: string): Promise<readonly (string | undefined)[]> {
  const files = await listStoreFiles(join(tidemark.dir, 'store'));
  const log = files.filter(({ key }) => key.startsWith(`v1/instance/${ID}/log/`));
  const entries = await Promise.all(log.map(({ path }) => readFile(path, 'latin1')));
  return entries
    .filter((entry) => entry.includes(name))
    .map((entry) => /"type":"(\w+)"/.exec(entry)?.[1]);
}

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis()]);
  redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  await redis.mset({ ...all('then'), 'user:1': 'x' });
  good = Math.floor(Date.now() / 1000);
  await delay(1_100);
  await redis.mset({ ...all('now'), 'user:1': 'y' });
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});
beforeEach(async () => {
  await redis.mset(all('now'));
});
afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

describe('restore --to original', () => {
  it('writes nothing without keys, without consent, or with flags of other targets', async () => {
    const whole = ['restore', ID, '--at', iso(good), '--to', 'original', '--yes'];
    expect(await tidemark.refused(2, ...whole)).toMatchObject({ code: 'TM_SELECTOR_EMPTY' });
    expect(await tidemark.refused(2, ...restore())).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    expect(await tidemark.refused(2, ...restore('--yes', '--port', '1'))).toMatchObject({
      code: 'TM_USAGE',
    });
    const { out } = await tidemark.run(...restore('--dry-run'));
    expect(out).toMatch(/^write: 120 keys to put/m);
    expect(await count('now')).toBe(120);
  });

  it('puts the selected keys back and no other, and undo takes that back', async () => {
    const written = await tidemark.run(...restore('--yes'));
    expect(written.code).toBe(0);
    expect(written.out).toMatch(/^written: 120 keys \(.*\), 0 deleted, in /m);
    const rid = await latestPack();
    expect(written.out).toContain(`undo ${rid}`);
    expect([await count('then'), await redis.get('user:1')]).toEqual([120, 'y']);
    const dry = await tidemark.run('undo', rid, '--dry-run');
    expect(dry.out).toMatch(/^would be put back: 120 keys /m);
    expect(await tidemark.refused(2, 'undo', rid)).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    await redis.set('cart:7', 'by a client');
    const undone = await tidemark.run('undo', rid, '--yes');
    expect(undone.code).toBe(3);
    expect(undone.out).toMatch(/^left: db 0 cart:7: its value was changed since$/m);
    expect(undone.err).toContain('TM_WRITE_PARTIAL');
    expect([await count('now'), await redis.get('cart:7')]).toEqual([119, 'by a client']);
    // Taken before it began and released: nobody deletes the pack meanwhile.
    expect(await loggedTypes(`undo-${rid}-`)).toEqual(['LeaseTaken', 'LeaseReleased']);
    const nothing = await tidemark.run(
      'restore',
      ID,
      '--at',
      iso(good),
      '--to',
      'original',
      '--key',
      'none',
      '--yes',
    );
    expect([nothing.code, nothing.out]).toEqual([
      0,
      expect.stringContaining('nothing to do; nothing was written'),
    ]);
    expect(await tidemark.refused(10, 'undo', 'rs-none', '--yes')).toMatchObject({
      code: 'TM_NOT_FOUND',
    });
  });

  /** Starts a slow write and waits for its first keys. */
  const begin = async (): Promise<ReturnType<Tidemark['spawn']>> => {
    const child = tidemark.spawn(...restore('--yes', '--rate-limit', '500ops'));
    child.stderr?.resume();
    for (const deadline = Date.now() + 60_000; (await count('then')) === 0;) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error('nothing is written');
      await delay(5);
    }
    return child;
  };

  it('killed in the middle is undone from what it left, and can be gone on with', async () => {
    const child = await begin();
    child.kill('SIGKILL');
    await once(child, 'close');
    const half = await count('then');
    expect(half).toBeLessThan(120);
    const rid = await latestPack();
    const undone = await tidemark.json<Written>('undo', rid, '--yes');
    expect(undone).toMatchObject({ state: 'succeeded', restored: half, conflicts: 0 });
    expect(await count('now')).toBe(120);
    const rest = await tidemark.json<Written>('restore', ID, '--resume', rid);
    expect(rest).toMatchObject({ id: rid, state: 'succeeded', restored: 120 });
    expect(await count('then')).toBe(120);
    await tidemark.json<Written>('undo', rid, '--yes');
    expect(await count('now')).toBe(120);
  });

  it('called off with Ctrl-C tells what is written and how to go on', async () => {
    const child = await begin();
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(130);
    const half = await count('then');
    expect(out).toMatch(new RegExp(`^written: ${String(half)} keys`, 'm'));
    const rid = await latestPack();
    expect(out).toContain(`--resume ${rid}`);
    expect(await tidemark.json<Written>('undo', rid, '--yes')).toMatchObject({ restored: half });
    expect(await count('now')).toBe(120);
  });
});
