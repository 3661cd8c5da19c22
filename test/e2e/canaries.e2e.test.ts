import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packSnapshot } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { GOLDEN_SUMMARY } from '../support/archive-golden.ts';
import { CanaryHoard } from '../support/canaries/canary-hoard.ts';
import { FileKeeper } from '../support/canaries/keep-files.ts';
import type { Hit } from '../support/canaries/needle-index.ts';
import { writeEveryType } from '../support/every-type.ts';
import { lzfStr } from '../support/rdb-builder.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { collect } from '../support/segments.ts';
import { listStoreFiles } from '../support/store-files.ts';
import { TempDir } from '../support/temp-dir.ts';
import { Tidemark, type RestoreDocument } from '../support/tidemark-cli.ts';

const ID = 'orders';
/** Pieces of 64 bytes of one value that makes a segment too large for its log entry. */
const LARGE_PIECES = 5_000;

describe('(d) canaries in keys, fields and values of every type', () => {
  it('a search finds them in every form', async () => {
    const hoard = new CanaryHoard();
    const [binary, text] = [hoard.next(), hoard.next()];
    for (const [canary, bytes] of [binary, text].entries()) {
      const hits = async (written: Buffer): Promise<Set<string>> => {
        const forms = new Set<string>();
        const noise = Buffer.alloc(999, 0xa5);
        const note = (hit: Hit): void => {
          expect(hit.canary).toBe(canary);
          forms.add(hit.form);
        };
        await hoard.searchBytes(Buffer.concat([noise, written, noise]), note);
        return forms;
      };
      expect(await hits(bytes)).toContain('raw');
      expect(await hits(bytes.subarray(40))).toContain('raw');
      expect(await hits(Buffer.from(bytes.toString('hex')))).toContain('hex');
      expect(await hits(Buffer.from(bytes.toString('hex').toUpperCase()))).toContain('hex');
      for (const alignment of [0, 1, 2]) {
        const within = Buffer.concat([
          Buffer.alloc(300 + alignment, 7),
          bytes,
          Buffer.alloc(50, 9),
        ]);
        expect(await hits(Buffer.from(within.toString('base64')))).toContain('base64');
        expect(await hits(Buffer.from(within.toString('base64url')))).toContain('base64url');
      }
      const padded = Buffer.concat([bytes, Buffer.alloc(4_000, ' ')]);
      expect(await hits(lzfStr(padded))).toContain('lzf raw');
      const rdb = Buffer.concat([padded, padded]);
      const summary = (): typeof GOLDEN_SUMMARY => ({ ...GOLDEN_SUMMARY, bytes: rdb.length });
      const packed = packSnapshot(bytesOf(rdb), { timeline: 'tl', offset: 0n, summary });
      expect(await hits(await collect(packed))).toContain('zstd raw');
    }
  });

  it('are in the files of the source and in none that Tidemark writes', async () => {
    const hoard = new CanaryHoard();
    await using outside = await TempDir.create('tidemark-servers-');
    await using tidemark = await Tidemark.init();
    await using source = await startRedis({ config: { 'list-compress-depth': '1' } });
    await using target = await startRedis({ aof: false });
    const output = await useEverything({ tidemark, source, target, hoard }, outside.path);

    const aof = await hoard.searchFolder(source.aofDir);
    const inAof = new Set(aof.found.map(({ canary }) => canary));
    console.log(
      `${hoard.size} canaries; in the AOF folder: ${inAof.size}, ` +
        `as ${[...new Set(aof.found.map(({ form }) => form))].join(', ')}`,
    );
    expect(inAof.size).toBe(hoard.size);
    expect(aof.found.some(({ form }) => form.startsWith('lzf'))).toBe(true);

    await writeFile(join(tidemark.dir, 'output.log'), output);
    const ours = await hoard.searchFolder(tidemark.dir);
    console.log(`${ours.files} files with ${ours.bytes} bytes of Tidemark's own looked through`);
    expect(ours.found).toEqual([]);
  });
});

interface Parts {
  readonly tidemark: Tidemark;
  readonly source: RedisServer;
  readonly target: RedisServer;
  readonly hoard: CanaryHoard;
}

/**
 * Captures with and without a kill, makes a backup, and restores in every way.
 * @param outside - Folder for a server that is started: its own data folder is not ours.
 * @returns All that the archiver and the command line printed.
 */
async function useEverything(parts: Parts, outside: string): Promise<string> {
  const { tidemark, source, target, hoard } = parts;
  const kept = join(tidemark.dir, 'kept');
  const output: string[] = [];
  const run = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await tidemark.run(...args);
    output.push(out, err);
    expect(code, `${args.join(' ')}: ${err}`).toBe(0);
    return out;
  };
  using _keeper = new FileKeeper(join(tidemark.dir, 'state'), kept);
  const redis = await source.connect();
  await capture(parts, redis, output, run);

  await run('instance', 'show', ID);
  await run('status');
  await run('windows', ID);
  const url = `redis://127.0.0.1:${target.port}`;
  const restore = async (...flags: string[]): Promise<RestoreDocument> =>
    JSON.parse(
      await run('restore', ID, '--at', 'latest', ...flags, '-o', 'json'),
    ) as RestoreDocument;
  await restore('--to', 'new', '--dry-run');
  const fresh = await restore('--to', 'new', '--dir', join(outside, 'new'));
  await shutDown(fresh.target);
  const replayed = await restore('--to', url, '--no-promote', '--verify', 'stream');
  await run('restore', ID, '--resume', replayed.id);
  const killed = await killMidway(parts, output, '--at', 'latest', '--to', url, '--yes');
  await run('restore', ID, '--resume', killed);
  await run('restore', ID, '--at', 'latest', '--to', url, '--yes', '--ttl', 'remaining');
  await run('doctor').catch(() => undefined);
  await run('repo', 'rebuild-catalog');
  await run('repo', 'verify');

  const store = await listStoreFiles(join(tidemark.dir, 'store'));
  const count = (part: string): number => store.filter(({ key }) => key.includes(part)).length;
  expect([count('/seg/') > 0, count('/rdb/') > 1, count('/log/') > 5]).toEqual([true, true, true]);
  expect(_keeper.kept.some((path) => path.endsWith('.sealed'))).toBe(true);
  expect(_keeper.kept.some((path) => path.includes('restores'))).toBe(true);
  expect(hoard.size).toBeGreaterThan(1_000);
  return output.join('\n');
}

/** A base, inline segments, a large one, a kill, and a backup. */
async function capture(
  { tidemark, source, hoard }: Parts,
  redis: Redis,
  output: string[],
  run: (...args: string[]) => Promise<string>,
): Promise<void> {
  await writeEveryType(redis, hoard.next, 'first');
  await redis.call('BGREWRITEAOF');
  while (/aof_rewrite_(in_progress|scheduled):1/.test(await redis.info('persistence')));
  await tidemark.add(ID, source);
  const first = await tidemark.serve();
  await writeEveryType(redis, hoard.next, 'second');
  const large = Array.from({ length: LARGE_PIECES }, (_, i) =>
    i % 500 === 0 ? hoard.next() : randomBytes(64),
  );
  await redis.set(hoard.next(), Buffer.concat(large));
  await delay(1_100);
  const writing = writeEveryType(redis, hoard.next, 'third');
  await delay(30);
  await first.kill();
  await writing;
  const second = await tidemark.serve();
  await writeEveryType(redis, hoard.next, 'fourth');
  await run('backup', 'create', ID, '--wait');
  await redis.set(hoard.next(), hoard.next());
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
  output.push(first.log, second.log);
  expect(await second.stop()).toBe(0);
}

/** Starts a restore and kills it once the target follows its feed; the restore's id. */
async function killMidway(
  { tidemark, target }: Parts,
  output: string[],
  ...flags: readonly string[]
): Promise<string> {
  const client = await target.connect();
  const child = tidemark.spawn('restore', ID, ...flags);
  const exited = once(child, 'exit');
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => output.push(text));
  }
  while (child.exitCode === null && !(await client.info('replication')).includes('role:slave'));
  child.kill('SIGKILL');
  await exited;
  client.disconnect();
  expect(child.signalCode).toBe('SIGKILL');
  const [record] = await readdir(join(tidemark.dir, 'state', 'restores'));
  return record?.replace('.json', '') ?? '';
}

async function shutDown(url: string): Promise<void> {
  const client = new Redis(url, { protocol: 2, retryStrategy: () => null });
  client.on('error', () => undefined);
  await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
  client.disconnect();
}
