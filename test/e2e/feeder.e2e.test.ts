import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  argumentsOf,
  coreLimitsOf,
  environmentOf,
  feederOf,
  mappedBy,
  openFilesOf,
  untilGone,
} from '../support/feeder/feeder-process.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, Tidemark, type CliError, type RestoreDocument } from '../support/tidemark-cli.ts';

const ID = 'orders';
const PROGRAM = fileURLToPath(new URL('../../services/cli/bin/tidemark.js', import.meta.url));
const KEYS = 1_000;
/** Microseconds that the target takes to load a key: the feed is under way for some seconds. */
const SLOW = { 'key-load-delay': '3000', 'loading-process-events-interval-bytes': '2048' };
const STARTED_MS = 90_000;

let place: TempDir;
let tidemark: Tidemark;
let at: readonly string[];

beforeAll(async () => {
  place = await TempDir.create('tidemark-feeder-');
  await mkdir(join(place.path, 'empty'), { mode: 0o500 });
  tidemark = await Tidemark.init();
  await using source = await startRedis();
  const redis = await source.connect();
  await redis.mset(Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`key:${i}`, i])));
  await redis.call('BGREWRITEAOF');
  while (/aof_rewrite_(in_progress|scheduled):1/.test(await redis.info('persistence'))) {
    await delay(20);
  }
  await tidemark.add(ID, source);
  const archiver = await tidemark.serve();
  await redis.set('last', 'one');
  const second = Math.floor(Date.now() / 1000);
  await tidemark.untilProven(ID, second);
  at = ['--at', iso(second)];
  expect(await archiver.stop()).toBe(0);
});
afterAll(async () => {
  await tidemark[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** A restore that feeds a slow target, and the process that does it. */
interface Feeding extends AsyncDisposable {
  readonly cli: ChildProcess;
  readonly feeder: number;
  readonly target: RedisServer;
  readonly redis: Redis;
  readonly settings: string;
  readonly ended: Promise<{ readonly code: number | null; readonly error: CliError | null }>;
}

async function feeding(): Promise<Feeding> {
  const target = await startRedis({ aof: false, config: SLOW });
  const redis = await target.connect();
  const settings = await settingsOf(redis);
  const to = ['--to', `redis://127.0.0.1:${target.port}`];
  const cli = spawn(
    process.execPath,
    [PROGRAM, '-c', tidemark.config, 'restore', ID, ...at, ...to, '-o', 'json'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: join(place.path, 'empty'),
      env: {
        ...process.env,
        TMPDIR: join(place.path, 'empty'),
        TIDEMARK_CANARY: 'secret of another program',
        AWS_PROFILE: 'for the chain',
      },
    },
  );
  let err = '';
  cli.stdout.resume();
  cli.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(cli, 'close').then(([code]) => {
    const line = err.split('\n').findLast((text) => text.startsWith('{"error"'));
    const error = line === undefined ? null : (JSON.parse(line) as { error: CliError }).error;
    return { code: code as number | null, error };
  });
  const feeder = await feederOf(cli.pid ?? 0);
  const deadline = Date.now() + STARTED_MS;
  while (!(await redis.info('persistence')).includes('loading:1')) {
    if (Date.now() > deadline || cli.exitCode !== null) throw new Error(`nothing is fed: ${err}`);
    await delay(5);
  }
  return {
    ...{ cli, feeder, target, redis, settings, ended },
    async [Symbol.asyncDispose](): Promise<void> {
      cli.kill('SIGKILL');
      await ended;
      await target[Symbol.asyncDispose]();
    },
  };
}

/** What a restore changes for its time. */
async function settingsOf(redis: Redis): Promise<string> {
  const names = ['masteruser', 'masterauth', 'repl-diskless-load', 'replica-serve-stale-data'];
  const found = await Promise.all(names.map((name) => redis.config('GET', name)));
  return JSON.stringify(found);
}

/** The target is a master of its own, without a key, with its own settings. */
async function expectGivenBack({ redis, settings }: Feeding): Promise<void> {
  expect(await redis.info('replication')).toContain('role:master');
  expect(await redis.dbsize()).toBe(0);
  expect(await settingsOf(redis)).toBe(settings);
  expect(await readdir(join(tidemark.dir, 'state', 'restores'))).toEqual([]);
}

describe('the feeding process', () => {
  it('has no database in it, no core file, no secret in its words, no file but its program', async () => {
    await using run = await feeding();
    const { feeder, cli } = run;
    const mapped = mappedBy(feeder).join('\n');
    expect(mapped).not.toContain('better_sqlite3');
    expect(mapped).toContain('zstd'); // what it does have, so that the look at it is a look
    expect(mappedBy(cli.pid ?? 0).join('\n')).toContain('better_sqlite3');
    expect(coreLimitsOf(feeder)).toEqual(['0', '0']);
    const words = argumentsOf(feeder);
    expect(words.join(' ')).toMatch(/--(experimental-)?permission --allow-fs-read=\*/);
    expect(words.join(' ')).not.toMatch(/allow-fs-write|allow-child-process|redis|tidemark-e2e/);
    const environment = environmentOf(feeder);
    expect(environment).toContain('AWS_PROFILE=for the chain');
    expect(environment.filter((one) => /^(TIDEMARK|VITEST|NODE_OPTIONS|npm_)/.test(one))).toEqual(
      [],
    );
    const open = openFilesOf(feeder).filter((path) => !path.startsWith('/dev/'));
    expect(open.filter((path) => path.startsWith(tidemark.dir)).filter(isNoObject)).toEqual([]);
    expect((await run.ended).code).toBe(0);
    expect(await run.redis.dbsize()).toBe(KEYS + 1);
    await untilGone(feeder);
    expect(await readdir(join(place.path, 'empty'))).toEqual([]);
  });

  it('killed, ends the restore with its own error; the target is given back empty', async () => {
    await using run = await feeding();
    process.kill(run.feeder, 'SIGKILL');
    const { code, error } = await run.ended;
    expect([code, error]).toMatchObject([1, { code: 'TM_FEEDER', context: { signal: 'SIGKILL' } }]);
    await expectGivenBack(run);
  });

  it('ends with a restore that is called off; the target is given back empty', async () => {
    await using run = await feeding();
    // As Ctrl-C in a terminal: whoever is in the group gets it.
    run.cli.kill('SIGINT');
    process.kill(run.feeder, 'SIGINT');
    const { code, error } = await run.ended;
    expect([code, error]).toMatchObject([130, { code: 'TM_CANCELLED' }]);
    await untilGone(run.feeder);
    await expectGivenBack(run);
  });

  it('dies with a restore that is killed, which another one goes on with', async () => {
    await using run = await feeding();
    run.cli.kill('SIGKILL');
    await untilGone(run.feeder);
    expect(await run.redis.info('replication')).toContain('role:slave');
    const [record = ''] = await readdir(join(tidemark.dir, 'state', 'restores'));
    const id = record.replace('.json', '');
    const resumed = await tidemark.json<RestoreDocument>('restore', ID, '--resume', id);
    expect(resumed).toMatchObject({ state: 'succeeded', keys: KEYS + 1 });
    expect(await run.redis.info('replication')).toContain('role:master');
  });
});

const isNoObject = (path: string): boolean => !path.includes('/store/v1/');
