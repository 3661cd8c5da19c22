import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBytes } from '../support/pattern.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { iso, Tidemark } from '../support/tidemark-cli.ts';

const ID = 'shop';

interface Line {
  readonly second: string | null;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly offset: string;
  readonly before: string;
  readonly command: string;
  readonly db: number;
  readonly did?: string;
  readonly keys?: readonly { readonly db: number; readonly key: string }[];
  readonly restore?: string;
  readonly summary?: {
    readonly found: number;
    readonly readBytes: number;
    readonly logBytes: number;
  };
}

let tidemark: Tidemark;
let source: RedisServer;
let redis: Redis;
/** When the flush ran, Unix milliseconds of the server's clock, and what was there before. */
let flushedMs = 0;
let keysBefore = 0;

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis()]);
  redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  for (let i = 0; i < 40; i++) {
    await redis.set(`key:${i}`, patternBytes(20_000, i));
    await redis.hset('user:\u00e9', 'visits', i);
    await delay(50);
  }
  await redis.multi().del('key:3').flushall().exec();
  flushedMs = Date.now();
  keysBefore = 41;
  await delay(1_100);
  await redis.set('after', '1');
  await tidemark.untilProven(ID, Math.floor(flushedMs / 1000) + 1);
}, 60_000);

afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

async function lines(
  ...args: readonly string[]
): Promise<{ found: Line[]; summary: Line; err: string }> {
  const { code, out, err } = await tidemark.run(...args, '-o', 'json');
  expect(code, err).toBe(0);
  const all = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { found: all.slice(0, -1), summary: all.at(-1)!, err };
}

describe.concurrent('find', () => {
  it('prints when a command ran, and the restore to right before it works as printed', async () => {
    const { found, summary } = await lines('find', ID, '--command', 'FlushAll');
    expect(found).toHaveLength(1);
    const [flush] = found as [Line];
    const at = Date.parse(flush.notBefore);
    expect(Math.abs(at - flushedMs)).toBeLessThan(1_500);
    expect(flush.second).toBe(iso(Math.floor(at / 1000)));
    expect(BigInt(flush.before)).toBeLessThan(BigInt(flush.offset));
    expect(summary.summary).toMatchObject({ found: 1, limited: false });
    expect(summary.summary!.readBytes).toBeLessThan(summary.summary!.logBytes);
    const words = flush.restore!.split(' ');
    expect(words.slice(0, 3)).toEqual(['tidemark', '-c', tidemark.config]);
    const target = await startRedis({ aof: false });
    try {
      const url = `redis://127.0.0.1:${target.port}`;
      const args = [...words.slice(3, words.indexOf('--to')), '--to', url];
      expect(await tidemark.json(...args)).toMatchObject({ keys: keysBefore });
    } finally {
      await target[Symbol.asyncDispose]();
    }
  });

  it('prints lines of text with a head, and what it read', async () => {
    const { code, out } = await tidemark.run('find', ID, '--command', 'DEL', '--glob', 'key:*');
    expect(code).toBe(0);
    const [head, line, summary, ...rest] = out.trim().split('\n');
    expect(head).toMatch(/^TIME \(UTC\) +OFFSET +DB +COMMAND +BYTES +KEYS +THE STATE BEFORE IT$/);
    expect(line).toMatch(
      /^\S+Z +\d+ +0 +DEL +\d+ +key:3 +tidemark -c \S+ restore shop --before \d+ --timeline \w+ --to new$/,
    );
    expect(line?.indexOf('key:3')).toBe(head?.indexOf('KEYS'));
    expect(summary).toMatch(/^1 found; read .* of .* of log$/);
    expect(rest).toEqual([]);
  });

  it('ends well with nothing found, and says what a name is logged as', async () => {
    const { code, out, err } = await tidemark.run('find', ID, '--command', 'expire,GET');
    expect(code).toBe(0);
    expect(out).toMatch(/^nothing found; read /);
    expect(err).toContain('servers log EXPIRE as PEXPIREAT, DEL, UNLINK');
    expect(err).toContain('no log is known to hold GET');
  });

  it('stops at its limit, and keeps to its window', async () => {
    const { found, summary } = await lines('find', ID, '--command', 'HSET', '--limit', '5');
    expect(found).toHaveLength(5);
    expect(summary.summary).toMatchObject({ found: 5, limited: true });
    const second = found[4]!.notBefore.replace(/\.\d+Z/, 'Z');
    const window = ['--since', second, '--until', second];
    const within = await lines('find', ID, '--command', 'HSET', ...window);
    expect(within.found.length).toBeGreaterThan(0);
    expect(within.found.every((one) => Date.parse(one.notAfter) >= Date.parse(second))).toBe(true);
    const early = await lines('find', ID, '--command', 'HSET', '--since', '2001-01-01T00:00:00Z');
    expect(early.err).toContain('the archive begins at');
  });

  it('refuses an instance that is not there', async () => {
    const refusal = await tidemark.refused(10, 'find', 'nobody', '--command', 'DEL');
    expect(refusal).toMatchObject({ code: 'TM_NOT_FOUND', hint: 'tidemark instance list' });
  });
});

describe.concurrent('history', () => {
  it('tells what was done to a key', async () => {
    const { found } = await lines('history', ID, 'key:3');
    expect(found.map(({ command, did }) => [command, did])).toEqual([
      ['set', 'write'],
      ['del', 'delete'],
      ['flushall', 'flushed'],
    ]);
    expect(found[1]!.before).toBe(found[2]!.before);
    const { out } = await tidemark.run('history', ID, 'key:3', '--db', '0');
    expect(out.split('\n')[0]).toMatch(/^TIME \(UTC\) +OFFSET +DB +WHAT +COMMAND/);
    expect((await lines('history', ID, 'key:3', '--db', '4')).found).toHaveLength(1);
  });

  it('takes keys with the escapes of --key', async () => {
    const { found } = await lines('history', ID, 'user:\\xc3\\xa9', '--limit', '3');
    expect(found.map(({ command }) => command)).toEqual(['hset', 'hset', 'hset']);
  });
});
