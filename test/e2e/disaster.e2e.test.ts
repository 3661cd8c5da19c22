import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeEveryType } from '../support/every-type.ts';
import { diffOracle, readOracle, type Oracle } from '../support/oracle.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, runTidemark, Tidemark, type RestoreDocument } from '../support/tidemark-cli.ts';

const ID = 'orders';

/** What is left after the disaster: copies of store and ring, and what the source held when. */
let left: TempDir;
let target: RedisServer;
let second: number;
let atBackup: Oracle;
let atSecond: Oracle;
let atEnd: Oracle;
let backup: string;
let endOffset: string;

beforeAll(async () => {
  [left, target] = await Promise.all([TempDir.create(), startRedis({ aof: false })]);
  await using tidemark = await Tidemark.init();
  await using source = await startRedis();
  const redis = await source.connect();
  await tidemark.add(ID, source);
  const archiver = await tidemark.serve();
  let serial = 0;
  await writeEveryType(redis, () => `value:${++serial}`, 'lib');
  atBackup = await readOracle(redis);
  await tidemark.json('backup', 'create', ID, '--wait');
  await redis.mset('a', 1, 'b', 2);
  await redis.select(7);
  await redis.multi().incr('counter').rename('counter', 'renamed').exec();
  await delay(1_000 - (Date.now() % 1_000) + 300);
  second = Number((await redis.time())[0]) - 1;
  atSecond = await readOracle(redis);
  await delay(1_000 - (Date.now() % 1_000) + 50);
  await redis.flushdb();
  await redis.set('after', 'the second');
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
  atEnd = await readOracle(redis);
  const [row] = (
    await tidemark.json<{ backups: { id: string; offset: string }[] }>('backup', 'list', ID)
  ).backups.slice(-1);
  backup = row?.id ?? '';
  const planned = await tidemark.json<RestoreDocument>(
    'restore',
    ID,
    '--at',
    'latest',
    '--dry-run',
  );
  endOffset = planned.cut.offset;
  expect(await archiver.stop()).toBe(0);
  await cp(join(tidemark.dir, 'store'), join(left.path, 'store'), { recursive: true });
  await cp(join(tidemark.dir, 'ring'), join(left.path, 'ring'), { recursive: true });
});

afterAll(async () => {
  for (const part of [left, target]) await part[Symbol.asyncDispose]();
});

/** A new machine that takes the copies over. */
async function adopt(dir: string, ring = join(left.path, 'ring')): ReturnType<typeof runTidemark> {
  const store = `file://${join(left.path, 'store')}`;
  return runTidemark(['init', '--dir', dir, '--adopt', store, '--keyring', ring, '-o', 'json']);
}

describe('only store and key ring are left', () => {
  it('gives back every point: a second, a backup, an offset, the latest', async () => {
    const dir = join(left.path, 'new-machine');
    const init = await adopt(dir);
    expect(init.code, init.err).toBe(0);
    expect(JSON.parse(init.out)).toMatchObject({ instances: [ID] });
    const config = join(dir, 'tidemark.toml');
    const ask = async (...args: string[]): Promise<Record<string, unknown>> => {
      const run = await runTidemark(['-c', config, ...args, '-o', 'json']);
      expect(run.code, run.err).toBe(0);
      return JSON.parse(run.out) as Record<string, unknown>;
    };
    expect(await ask('instance', 'list')).toMatchObject({ instances: [{ id: ID }] });
    expect(await ask('windows', ID)).toMatchObject({ shards: [{ holes: [] }] });
    expect(await ask('repo', 'verify')).toMatchObject({ faultCount: 0 });
    const client = await target.connect();
    /** Restores a point without promoting, looks at it, and calls the restore off. */
    const look = async (point: string[], look: () => Promise<void>): Promise<unknown> => {
      const to = `redis://127.0.0.1:${target.port}`;
      const report = await ask('restore', ID, ...point, '--to', to, '--no-promote');
      await look();
      await ask('restore', ID, '--abort', String(report['id']));
      return report;
    };
    const equals = (expected: Oracle) => async (): Promise<void> => {
      expect(diffOracle(expected, await readOracle(client))).toEqual([]);
    };
    await look(['--at', iso(second)], equals(atSecond));
    await look(['--at', 'latest'], equals(atEnd));
    await look(['--offset', endOffset], equals(atEnd));
    expect(await ask('backup', 'list', ID)).toMatchObject({ backups: [{}, { id: backup }] });
    const report = await look(['--backup', backup], equals(atBackup));
    expect(report).toMatchObject({ state: 'replayed', commands: 0 });
    expect(atBackup.databases.get(0)?.dbSize).toBeGreaterThan(10);
    expect(await client.dbsize()).toBe(0);
  });

  it('is refused with a ring that is not there, not the right one, or open to others', async () => {
    const missing = await adopt(join(left.path, 'm1'), join(left.path, 'no-ring'));
    expect(missing.code).toBe(12);
    const other = join(left.path, 'other');
    await runTidemark(['init', '--dir', other]);
    const wrong = await adopt(join(left.path, 'm2'), join(other, 'ring'));
    expect(wrong.code, wrong.err).toBe(12);
    // Also later, by a machine that has a catalog of the store already.
    const config = join(left.path, 'new-machine', 'tidemark.toml');
    const text = await readFile(config, 'utf8');
    for (const ring of [join(other, 'ring'), join(left.path, 'no-ring')]) {
      await writeFile(config, text.replace(/^ring = .*$/m, `ring = "${ring}"`));
      for (const command of [
        ['windows', ID],
        ['restore', ID, '--at', 'latest', '--to', 'new'],
        ['repo', 'verify'],
      ]) {
        const { code, err } = await runTidemark(['-c', config, ...command]);
        expect(code, `${command.join(' ')}: ${err}`).toBe(12);
      }
    }
    const open = join(left.path, 'open-ring');
    await cp(join(left.path, 'ring'), open, { recursive: true });
    await chmod(join(open, 'ring.json'), 0o644);
    const readable = await adopt(join(left.path, 'm3'), open);
    expect(readable.code).toBe(12);
    expect(readable.err).toContain('chmod');
    const empty = join(left.path, 'empty-ring');
    await mkdir(empty, { mode: 0o700 });
    expect((await adopt(join(left.path, 'm4'), empty)).code).toBe(12);
    await rm(empty, { recursive: true });
  });
});
