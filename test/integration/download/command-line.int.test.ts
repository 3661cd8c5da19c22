import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openKeyRing } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeEveryType } from '../../support/every-type.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const ID = 'orders';
const TIMEOUT_MS = 300_000;

interface Downloaded {
  readonly files: readonly {
    readonly path: string;
    readonly form: string;
    readonly bytes: number;
  }[];
}

let tidemark: Tidemark;
let source: RedisServer;
let atFirst: Oracle;
/** The oldest backup with data, and a newer one. */
let first: string;
let newer: string;

async function backup(): Promise<string> {
  const made = await tidemark.json<{ readonly id: string }>('backup', 'create', ID, '--wait');
  return made.id;
}

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis()]);
  const redis = await source.connect();
  await tidemark.add(ID, source);
  const archiver = await tidemark.serve();
  let serial = 0;
  await writeEveryType(redis, () => `value:${++serial}`, 'lib');
  atFirst = await readOracle(redis);
  first = await backup();
  await redis.set('later', '1');
  newer = await backup();
  await tidemark.refused(11, 'repo', 'shred', ID, '--confirm', ID); // while it is captured
  expect(await archiver.stop()).toBe(0);
}, TIMEOUT_MS);

afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

describe('backup download', () => {
  it(
    'gives an RDB that a server loads: every type, expiry and function',
    async () => {
      const path = join(tidemark.dir, 'first.rdb');
      // Here -o names the file, so the format is said in full.
      const words = ['backup', 'download', ID, first, '-o', path, '--output', 'json'];
      const { code, out, err } = await tidemark.run(...words);
      expect(code, err).toBe(0);
      const { files } = JSON.parse(out) as Downloaded;
      expect(files).toMatchObject([{ path, form: 'rdb', bytes: (await stat(path)).size }]);
      await using target = await startRedis({ aof: false, config: { save: '' } });
      await target.stop();
      await writeFile(join(target.dir, 'dump.rdb'), await readFile(path));
      await target.restart();
      const loaded = await readOracle(await target.connect());
      expect(diffOracle(atFirst, loaded)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'gives the container as it lies in the store, and no link from a folder',
    async () => {
      const { files } = await tidemark.json<Downloaded>(
        ...['backup', 'download', ID, first, '--sealed', '--out', tidemark.dir],
      );
      const sealed = await readFile(files[0]!.path);
      const names = await readdir(join(tidemark.dir, 'store'), { recursive: true });
      const stored = names.find((name) => name.includes(`/${first}`))!;
      expect(sealed.equals(await readFile(join(tidemark.dir, 'store', stored)))).toBe(true);
      const refused = await tidemark.refused(2, 'backup', 'download', ID, first, '--url');
      expect(refused.message).toContain('gives no links');
      expect(await tidemark.run('backup', 'download', ID, first)).toMatchObject({
        code: 2,
        out: '',
      });
    },
    TIMEOUT_MS,
  );
});

describe('keys wrapped anew, verified, destroyed', () => {
  it(
    'tde rewrap goes to the newest version of the ring, and all restores',
    async () => {
      const dir = join(tidemark.dir, 'ring');
      const ring = await openKeyRing({ dir, clock: systemClock, random: systemRandom });
      await ring.rotate();
      const { keys, rewrapped, removed } = await tidemark.json<Record<string, number>>(
        ...['tde', 'rewrap', ID],
      );
      expect(keys).toBeGreaterThan(2);
      expect({ rewrapped, removed }).toEqual({ rewrapped: keys, removed: keys });
      for (const point of [
        ['--at', 'latest'],
        ['--backup', first],
      ]) {
        await tidemark.json('restore', ID, ...point, '--dry-run', '--verify', 'full');
      }
      expect(await tidemark.json('tde', 'rewrap', ID)).toMatchObject({
        rewrapped: 0,
        present: keys,
      });
    },
    TIMEOUT_MS,
  );

  it(
    'backup verify reads all, or a share at each run; damage ends with 14 and its name',
    async () => {
      const whole = await tidemark.json<{ objects: number }>('backup', 'verify', ID);
      let objects = 0;
      for (const part of [0, 1]) {
        const run = await tidemark.json<{ objects: number }>(
          'backup',
          'verify',
          ID,
          '--sample',
          '50%',
        );
        expect(run).toMatchObject({ faultCount: 0, sample: { parts: 2, part } });
        objects += run.objects;
      }
      expect(objects).toBe(whole.objects);
      const names = await readdir(join(tidemark.dir, 'store'), { recursive: true });
      const path = join(
        tidemark.dir,
        'store',
        names.find((name) => name.includes(`/${newer}`))!,
      );
      const bytes = await readFile(path);
      await writeFile(path, Buffer.concat([bytes.subarray(0, -30), Buffer.alloc(30)]));
      const { out, code } = await tidemark.run('backup', 'verify', ID);
      expect(code).toBe(14);
      expect(out).toContain(newer);
      await writeFile(path, bytes);
    },
    TIMEOUT_MS,
  );

  it(
    'repo shred asks for the id, destroys one backup or all; what is left restores',
    async () => {
      const shred = ['repo', 'shred', ID, '--backup', first];
      expect((await tidemark.refused(2, ...shred)).code).toBe('TM_WRITE_CONSENT');
      expect((await tidemark.refused(2, ...shred, '--confirm', 'other')).code).toBe(
        'TM_WRITE_CONSENT',
      );
      expect(await tidemark.json(...shred, '--confirm', ID)).toMatchObject({
        removed: 1,
        again: false,
      });
      const gone = await tidemark.refused(12, 'restore', ID, '--backup', first, '--dry-run');
      expect(gone.code).toBe('TM_KEY_SHREDDED');
      const out = join(tidemark.dir, 'gone.rdb');
      const download = ['backup', 'download', ID, first, '--out', out];
      expect((await tidemark.refused(12, ...download)).code).toBe('TM_KEY_SHREDDED');
      const { backups } = await tidemark.json<{ backups: { id: string; state: string }[] }>(
        ...['backup', 'list', ID],
      );
      expect(backups.filter(({ state }) => state === 'shredded')).toMatchObject([{ id: first }]);
      for (const point of [
        ['--at', 'latest'],
        ['--backup', newer],
      ]) {
        await tidemark.json('restore', ID, ...point, '--dry-run', '--verify', 'full');
      }
      expect(await tidemark.json('backup', 'verify', ID)).toMatchObject({
        shredded: 1,
        faultCount: 0,
      });
      await tidemark.json('repo', 'shred', ID, '--confirm', ID);
      const spool = await readdir(join(tidemark.dir, 'state', 'spool'));
      expect(spool.filter((name) => name === ID || name === `${ID}.copies`)).toEqual([]);
      const all = await tidemark.refused(12, 'restore', ID, '--at', 'latest', '--dry-run');
      expect(all.code).toBe('TM_KEY_SHREDDED');
      expect(await tidemark.json('repo', 'verify')).toMatchObject({ faultCount: 0 });
    },
    TIMEOUT_MS,
  );
});
