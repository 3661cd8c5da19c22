import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceEvent } from '@tidemark/catalog';
import { downloadBackup, type DownloadedFile, type DownloadRequest } from '@tidemark/restorer';
import { RdbScanner } from '@tidemark/rdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { DamageBench } from '../../../support/damage/damage-bench.ts';
import { TINY_INSTANCE } from '../../../support/damage/tiny-archive.ts';
import type { MemoryStore } from '../../../support/memory-store.ts';
import { TempDir } from '../../../support/temp-dir.ts';

let dir: TempDir;
let bench: DamageBench;
let folder: string;
beforeEach(async () => {
  dir = await TempDir.create('tidemark-download-');
  bench = await DamageBench.build('download', dir.path);
  folder = join(dir.path, 'out');
  await mkdir(folder);
});
afterEach(() => dir[Symbol.asyncDispose]());

async function download(
  change: Partial<DownloadRequest> = {},
  o: { readonly store?: MemoryStore; readonly signal?: AbortSignal } = {},
): Promise<readonly DownloadedFile[]> {
  using catalog = await bench.freshCatalog();
  const to = { kind: 'file', path: join(folder, 'a.rdb') } as const;
  return await downloadBackup(
    { instance: TINY_INSTANCE, backup: 'bk-1', sealed: false, to, ...change },
    {
      ...{ store: o.store ?? bench.store, keys: bench.keys, catalog, stateDir: dir.path },
      ...{ random: seededRandom('download'), signal: o.signal ?? new AbortController().signal },
      onProgress: () => undefined,
    },
  );
}

const objectKey = (): string => bench.store.keys().find((key) => key.endsWith('/rdb/bk-1'))!;
const TDE: Extract<InstanceEvent, { type: 'TdeRequested' }> = {
  ...{ type: 'TdeRequested', provider: 'ring', keyId: 'ab'.repeat(16), auto: true, atMs: 1 },
};

describe('downloadBackup() without TDE', () => {
  it('writes a whole RDB, readable by its owner alone', async () => {
    const [file] = await download();
    const bytes = await readFile(file!.path);
    expect(file).toMatchObject({ shard: '0', form: 'rdb', bytes: bytes.length });
    const scanner = new RdbScanner();
    scanner.push(bytes);
    expect(scanner.end()).toMatchObject({ keys: 20, checksum: 'verified' });
    expect((await stat(file!.path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['a.rdb']);
  });

  it('gives the container as it lies in the store when that is wanted, without any key', async () => {
    bench.store.tamper(bench.archive.unneededKey, null);
    const [file] = await download({ sealed: true, to: { kind: 'folder', path: folder } });
    expect(file!.path).toBe(join(folder, 'tiny-0-bk-1.sealed'));
    expect(await readFile(file!.path)).toEqual(bench.store.objects.get(objectKey()));
  });

  it('writes over nothing', async () => {
    await writeFile(join(folder, 'a.rdb'), 'mine');
    await expect(download()).rejects.toMatchObject({ code: 'TM_EXISTS' });
    expect(await readFile(join(folder, 'a.rdb'), 'utf8')).toBe('mine');
    expect(await readdir(folder)).toEqual(['a.rdb']);
  });

  it('says that a folder is not there', async () => {
    const to = { kind: 'file', path: join(folder, 'none', 'a.rdb') } as const;
    await expect(download({ to })).rejects.toMatchObject({
      ...{ code: 'TM_OUTPUT', context: { reason: 'ENOENT' } },
    });
  });

  it.each<[string, (bytes: Buffer) => Buffer | null]>([
    ['is missing', () => null],
    ['is short', (bytes) => bytes.subarray(0, -1)],
    ['has a changed last chunk', (bytes) => change(bytes, bytes.length - 30)],
    ['has a changed header', (bytes) => change(bytes, 40)],
  ])('leaves no file when the object %s', async (_, damage) => {
    const key = objectKey();
    bench.store.tamper(key, damage(bench.store.objects.get(key)!));
    await expect(download()).rejects.toMatchObject({
      ...{ exitCode: 14, message: expect.stringContaining(key) as unknown },
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves no file when it is called off', async () => {
    const abort = new AbortController();
    const reason = new Error('stop');
    const seen = bench.store.through(({ op, key }) => {
      if (op === 'get' && key === objectKey()) abort.abort(reason);
      return undefined;
    });
    await expect(download({}, { store: seen, signal: abort.signal })).rejects.toBe(reason);
    expect(await readdir(folder)).toEqual([]);
  });

  it('knows no backup that is not there', async () => {
    const missing = { code: 'TM_NOT_FOUND', exitCode: 10 };
    await expect(download({ backup: 'bk-9' })).rejects.toMatchObject(missing);
    await expect(download({ instance: 'other' })).rejects.toMatchObject(missing);
  });
});

describe('downloadBackup() with TDE', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['in the log', async () => (await bench.instanceLog()).append(() => TDE)],
    [
      'by its marker',
      () => {
        bench.store.tamper(`v1/tde/${TINY_INSTANCE}/marker`, Buffer.from('damaged'));
        return Promise.resolve();
      },
    ],
  ])('leaves no plain file when it is switched on meanwhile: %s', async (_, switchOn) => {
    let seen = false;
    const store = bench.store.through(({ op, key }) => {
      if (seen || op !== 'get' || key !== objectKey()) return undefined;
      seen = true;
      return {
        before: async () => {
          await switchOn();
        },
      };
    });
    await expect(download({}, { store })).rejects.toMatchObject({ code: 'TM_BUSY' });
    expect(seen).toBe(true);
    expect(await readdir(folder)).toEqual([]);
    expect((await download())[0]!.form).toBe('sealed');
  });

  it.each<[string, Partial<DownloadRequest>]>([
    ['as it is asked for', { sealed: true }],
    ['though a plain file was asked for', { sealed: false }],
    ['under a name that says otherwise', { to: { kind: 'file', path: '' } }],
  ])('gives ciphertext only: %s', async (_, change) => {
    const log = await bench.instanceLog();
    await log.append(() => TDE);
    const to = { kind: 'file', path: join(folder, 'plain.rdb') } as const;
    const [file] = await download({ ...change, to });
    expect(file!.form).toBe('sealed');
    const bytes = await readFile(file!.path);
    expect(digest(bytes)).toBe(digest(bench.store.objects.get(objectKey())!));
    expect(bytes.includes('old:1')).toBe(false);
    expect(bytes.includes('REDIS')).toBe(false);
  });

  it('opens no key for it', async () => {
    const log = await bench.instanceLog();
    await log.append(() => TDE);
    const seen = bench.store.through();
    await download({}, { store: seen });
    expect(seen.calls.filter(({ key }) => key.startsWith('v1/keys/'))).toEqual([]);
  });

  it('takes a marker in the store for enough, though the log knows of none', async () => {
    bench.store.tamper(
      `v1/tde/${TINY_INSTANCE}/marker`,
      Buffer.from('damaged, and still a marker'),
    );
    const [file] = await download();
    expect(file!.form).toBe('sealed');
  });

  it('leaves no file when the object is not the one that the log names', async () => {
    const log = await bench.instanceLog();
    await log.append(() => TDE);
    const other = bench.store.keys().find((key) => key.endsWith('/rdb/bk-2'))!;
    bench.store.tamper(objectKey(), bench.store.objects.get(other)!);
    await expect(download()).rejects.toMatchObject({ exitCode: 14 });
    expect(await readdir(folder)).toEqual([]);
  });
});

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

function change(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
  return changed;
}
