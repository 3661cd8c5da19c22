import { lstat, mkdir, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bytesOf, collectBytes, type ByteSource } from '@tidemark/core';
import { openFileStore, type ObjectStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { storeError } from '../../../libs/store/src/file/fs-errors.ts';
import { TempDir } from '../../support/temp-dir.ts';

const text = (value: string): ByteSource => bytesOf(Buffer.from(value));
const open = (root: string): Promise<ObjectStore> => openFileStore({ root, random: systemRandom });
const read = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 1e6, () => new Error('too much'));

async function* unread(): ByteSource {
  yield await Promise.reject<Buffer>(new Error('the body was read'));
}

async function allPaths(root: string): Promise<string[]> {
  return (await readdir(root, { recursive: true })).sort();
}

describe('openFileStore()', () => {
  it('makes folders 0700 and files 0600 where docs/formats/file-store.md says', async () => {
    await using temp = await TempDir.create();
    const root = join(temp.path, 'new', 'store');
    const store = await open(root);
    expect(store.url).toBe(pathToFileURL(root).href);
    await store.putIfAbsent('v1/log/00000000000000000001', text('x'));
    const paths = await allPaths(root);
    expect(paths).toEqual([
      '.tmp',
      'v1',
      'v1/log',
      'v1/log/+00000000000000',
      'v1/log/+00000000000000/+00000000000000000',
      'v1/log/+00000000000000/+00000000000000000/00000000000000000001+obj',
    ]);
    for (const path of ['', ...paths]) {
      const facts = await lstat(join(root, path));
      expect(facts.mode & 0o777).toBe(facts.isDirectory() ? 0o700 : 0o600);
    }
  });

  it('writes nothing into what lies in its place when its mount is gone, and goes on when it is back', async () => {
    await using temp = await TempDir.create();
    const root = join(temp.path, 'store');
    const store = await open(root);
    await store.putIfAbsent('v1/a', text('x'));
    // As a mount that is gone; another process has opened what lies below it.
    await rename(root, `${root}.away`);
    const gone = { code: 'TM_STORE_IO', context: { root } };
    await expect(store.putIfAbsent('v1/b', text('y'))).rejects.toMatchObject(gone);
    await open(root);
    await expect(store.putIfAbsent('v1/b', text('y'))).rejects.toMatchObject(gone);
    await expect(store.delete('v1/a')).rejects.toMatchObject(gone);
    expect(await allPaths(root)).toEqual(['.tmp']);
    await rm(root, { recursive: true });
    await rename(`${root}.away`, root);
    expect(await store.putIfAbsent('v1/b', text('y'))).toBe('created');
    expect(await allPaths(root)).toEqual(['.tmp', 'v1', 'v1/a+obj', 'v1/b+obj']);
  });

  it('removes fan-out folders that a delete empties, and makes them again', async () => {
    await using temp = await TempDir.create();
    const [one, two] = [await open(temp.path), await open(temp.path)];
    for (let round = 0; round < 3; round++) {
      const key = `log/0000000000000000000${round}`;
      expect(await one.putIfAbsent(key, text('x'))).toBe('created');
      expect((await read(two.get(key))).toString()).toBe('x');
      await two.delete(key);
      expect(await allPaths(temp.path)).toEqual(['.tmp', 'log']);
    }
  });

  it('finds an object again that another process made under a folder seen as missing', async () => {
    await using temp = await TempDir.create();
    const [one, two] = [await open(temp.path), await open(temp.path)];
    expect(await one.head('a/b/c')).toBeNull();
    await two.putIfAbsent('a/b/c', text('x'));
    expect(await one.head('a/b/c')).toEqual({ key: 'a/b/c', size: 1 });
  });

  it('refuses a root that is a file, with the address as the thing to change', async () => {
    await using temp = await TempDir.create();
    await writeFile(join(temp.path, 'file'), '');
    await expect(open(join(temp.path, 'file'))).rejects.toMatchObject({ code: 'TM_STORE_URL' });
    await expect(open(join(temp.path, 'file', 'below'))).rejects.toMatchObject({
      code: 'TM_STORE_URL',
      exitCode: 2,
    });
  });
});

describe('a file store', () => {
  it('does not follow symbolic links inside its root', async () => {
    await using temp = await TempDir.create();
    const root = join(temp.path, 'store');
    const store = await open(root);
    await mkdir(join(temp.path, 'outside'));
    await writeFile(join(temp.path, 'outside', 'secret+obj'), 'secret');
    await symlink(join(temp.path, 'outside'), join(root, 'link'));
    await symlink(join(temp.path, 'outside', 'secret+obj'), join(root, 'file+obj'));
    await expect(read(store.get('link/secret'))).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    await expect(store.head('link/secret')).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    await expect(store.putIfAbsent('link/new', text('x'))).rejects.toMatchObject({
      code: 'TM_STORE_IO',
    });
    await expect(read(store.get('file'))).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(await store.head('file')).toBeNull();
    const listed: unknown[] = [];
    for await (const batch of store.list('')) listed.push(...batch);
    expect(listed).toEqual([]);
    expect(await allPaths(join(temp.path, 'outside'))).toEqual(['secret+obj']);
  });

  it('leaves no staged file behind, whatever a put came to', async () => {
    await using temp = await TempDir.create();
    const store = await open(temp.path);
    const broken = async function* (): ByteSource {
      yield await Promise.resolve(Buffer.alloc(100));
      throw new Error('broken');
    };
    await store.putIfAbsent('a', text('x'));
    await store.putIfAbsent('a', text('x'));
    await expect(store.putIfAbsent('b', broken())).rejects.toThrow('broken');
    expect(await readdir(join(temp.path, '.tmp'))).toEqual([]);
  });

  it('does not read the body of a key that is taken', async () => {
    await using temp = await TempDir.create();
    const store = await open(temp.path);
    await store.putIfAbsent('a', text('x'));
    let pulled = false;
    const body = async function* (): ByteSource {
      pulled = true;
      yield await Promise.resolve(Buffer.from('y'));
    };
    expect(await store.putIfAbsent('a', body())).toBe('exists');
    expect(pulled).toBe(false);
  });

  it('takes a ready file itself where it can: no byte is read, and it has one more name', async () => {
    await using temp = await TempDir.create();
    const store = await open(join(temp.path, 'store'));
    const file = join(temp.path, 'ready');
    await writeFile(file, 'sealed', { mode: 0o600 });
    expect(await store.putIfAbsent('a', unread(), { file })).toBe('created');
    const [own, theirs] = [
      await lstat(join(temp.path, 'store', 'a+obj')),
      await lstat(join(temp.path, 'ready')),
    ];
    expect([own.ino, own.nlink]).toEqual([theirs.ino, 2]);
    const stop = AbortSignal.abort(new Error('enough'));
    await expect(store.putIfAbsent('b', unread(), { file, signal: stop })).rejects.toThrow(
      'enough',
    );
    expect(await store.head('b')).toBeNull();
    expect(await readdir(join(temp.path, 'store', '.tmp'))).toEqual([]);
  });

  it.each([
    ['is not there', () => Promise.resolve()],
    ['others may read', (file: string) => writeFile(file, 'x', { mode: 0o644 })],
    ['is a folder', (file: string) => mkdir(file, { mode: 0o700 })],
    ['is a symbolic link', (file: string) => symlink('target', file)],
  ])('writes the body where the file %s', async (_, make) => {
    await using temp = await TempDir.create();
    const store = await open(join(temp.path, 'store'));
    await writeFile(join(temp.path, 'target'), 'x', { mode: 0o600 });
    const file = join(temp.path, 'ready');
    await make(file);
    expect(await store.putIfAbsent('a', text('x'), { file })).toBe('created');
    expect((await read(store.get('a'))).toString()).toBe('x');
    const facts = await lstat(join(temp.path, 'store', 'a+obj'));
    expect([facts.isFile(), facts.nlink, facts.mode & 0o777]).toEqual([true, 1, 0o600]);
  });

  it('ignores foreign files and objects outside the place of their key', async () => {
    await using temp = await TempDir.create();
    const store = await open(temp.path);
    await store.putIfAbsent('log/00000000000000000001', text('x'));
    await writeFile(join(temp.path, 'README'), '');
    await writeFile(join(temp.path, 'lost'), '');
    await writeFile(join(temp.path, 'log', '00000000000000000002+obj'), '');
    const listed: string[] = [];
    for await (const batch of store.list('')) listed.push(...batch.map(({ key }) => key));
    expect(listed).toEqual(['log/00000000000000000001']);
  });
});

describe('stale staged files', () => {
  it('go at the next opening when their writer is dead and they are older than an hour', async () => {
    await using temp = await TempDir.create();
    const staging = join(temp.path, '.tmp');
    await open(temp.path);
    const host = '0'.repeat(8);
    const make = async (name: string, ageMinutes: number): Promise<void> => {
      await writeFile(join(staging, name), 'x');
      const at = new Date(Date.now() - ageMinutes * 60_000);
      await utimes(join(staging, name), at, at);
    };
    await make(`${host}-4194304-${'a'.repeat(24)}`, 61);
    await make(`${host}-4194304-${'b'.repeat(24)}`, 55);
    await make('not-ours', 600);
    await open(temp.path);
    expect((await readdir(staging)).sort()).toEqual([
      `${host}-4194304-${'b'.repeat(24)}`,
      'not-ours',
    ]);
  });

  it('stay while their writer lives, however old they are', async () => {
    await using temp = await TempDir.create();
    const store = await open(temp.path);
    let staged = '';
    const body = async function* (): ByteSource {
      yield Buffer.alloc(1);
      [staged = ''] = await readdir(join(temp.path, '.tmp'));
      await utimes(join(temp.path, '.tmp', staged), 0, 0);
      await open(temp.path);
      yield Buffer.alloc(1);
    };
    expect(await store.putIfAbsent('slow', body())).toBe('created');
    expect(staged).toContain(`-${process.pid}-`);
  });
});

describe('storeError()', () => {
  it.each([
    ['ENOSPC', 'TM_STORE_FULL'],
    ['EDQUOT', 'TM_STORE_FULL'],
    ['EIO', 'TM_STORE_IO'],
    ['EROFS', 'TM_STORE_IO'],
    ['EACCES', 'TM_STORE_IO'],
    ['EMFILE', 'TM_STORE_IO'],
  ])('turns %s into %s and keeps the cause', (errno, code) => {
    const cause = Object.assign(new Error('system'), { code: errno });
    expect(storeError('write', 'a/b', cause)).toMatchObject({
      code,
      cause,
      context: { operation: 'write', key: 'a/b', errno },
    });
  });
});
