import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OBJECT_KIND, openBytes, openSpoolKey, sealBytes } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import {
  assertPrivateDir,
  publishPrivateFile,
  readPrivateFile,
} from '../../../libs/crypto/src/keys/private-files.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { TempDir } from '../../support/temp-dir.ts';

const isRoot = process.geteuid?.() === 0;

describe('readPrivateFile()', () => {
  it('reads up to its limit and no further', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'secret');
    await writeFile(path, 'x'.repeat(40), { mode: 0o600 });
    expect((await readPrivateFile(path, { bytesMax: 40 })).length).toBe(40);
    await expect(readPrivateFile(path, { bytesMax: 39 })).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { path },
    });
  });

  it('follows no symbolic link, to a file or a folder', async () => {
    await using temp = await TempDir.create();
    const real = join(temp.path, 'real');
    const path = join(temp.path, 'link');
    await writeFile(real, 'x', { mode: 0o600 });
    await symlink(real, path);
    const refused = {
      code: 'TM_KEY_RING',
      context: { path },
      hint: expect.stringContaining('real path') as string,
    };
    await expect(readPrivateFile(path, { bytesMax: 9 })).rejects.toMatchObject(refused);
    const dir = join(temp.path, 'dir');
    const dirLink = join(temp.path, 'dir-link');
    await mkdir(dir, { mode: 0o700 });
    await symlink(dir, dirLink);
    await assertPrivateDir(dir);
    await expect(assertPrivateDir(dirLink)).rejects.toMatchObject({ code: 'TM_KEY_RING' });
    await expect(assertPrivateDir(real)).rejects.toMatchObject({ code: 'TM_KEY_RING' });
  });

  it('refuses what is not a plain file and does not hang on a pipe', async () => {
    await using temp = await TempDir.create();
    const pipe = join(temp.path, 'pipe');
    execFileSync('mkfifo', ['-m', '600', pipe]);
    for (const path of [pipe, temp.path, join(temp.path, 'none')]) {
      const refused = { code: 'TM_KEY_RING', context: { path } };
      await expect(readPrivateFile(path, { bytesMax: 9 })).rejects.toMatchObject(refused);
    }
  });

  it.skipIf(!isRoot)('refuses a file of another user (needs root)', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'secret');
    await writeFile(path, 'x', { mode: 0o600 });
    await chown(path, 1234, 0);
    await expect(readPrivateFile(path, { bytesMax: 9 })).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { path, owner: 1234, euid: 0 },
      hint: `run: chown 0 ${path}`,
    });
  });

  it.skipIf(!isRoot)(
    'takes a read-only credential of root only where told (needs root)',
    async () => {
      await using temp = await TempDir.create();
      const path = join(temp.path, 'credential');
      await writeFile(path, 'x');
      const limits = { bytesMax: 9, systemCredential: true };
      await chmod(path, 0o440);
      expect((await readPrivateFile(path, limits)).toString()).toBe('x');
      const refused = { code: 'TM_KEY_RING', context: { path, mode: '0440' } };
      await expect(readPrivateFile(path, { bytesMax: 9 })).rejects.toMatchObject(refused);
      for (const mode of [0o640, 0o444, 0o460, 0o441]) {
        await chmod(path, mode);
        await expect(readPrivateFile(path, limits)).rejects.toMatchObject({ code: 'TM_KEY_RING' });
      }
      await chown(path, 0, 1234);
      await chmod(path, 0o440);
      await expect(readPrivateFile(path, limits)).rejects.toMatchObject(refused);
    },
  );
});

describe('publishPrivateFile()', () => {
  it('leaves a name that is taken alone and no staged file behind', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'file');
    const random = seededRandom('publish');
    expect(await publishPrivateFile(path, Buffer.from('one'), random)).toBe(true);
    expect(await publishPrivateFile(path, Buffer.from('two'), random)).toBe(false);
    expect(await readFile(path, 'utf8')).toBe('one');
    expect(await readdir(temp.path)).toEqual(['file']);
  });

  it('is 0600 whatever the umask', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'file');
    const before = process.umask(0o777);
    try {
      await publishPrivateFile(path, Buffer.from('one'), seededRandom('umask'));
    } finally {
      process.umask(before);
    }
    expect((await stat(path)).mode & 0o7777).toBe(0o600);
  });
});

describe('openSpoolKey()', () => {
  it('makes a file of 32 bytes, 0600, once and gives the same key again', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'spool.key');
    const first = await openSpoolKey({ path, random: seededRandom('one') });
    const info = await stat(path);
    expect([info.size, info.mode & 0o7777]).toEqual([32, 0o600]);
    const second = await openSpoolKey({ path, random: seededRandom('two') });
    expect(second).toEqual(first);
    expect(first.id).toMatch(/^[0-9a-f]{32}$/);
    expect(first.key.toString('hex')).not.toContain(first.id);
  });

  it('gives one key to two that ask at once', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'spool.key');
    const ask = (seed: string) => openSpoolKey({ path, random: seededRandom(seed) });
    const [one, two] = await Promise.all([ask('one'), ask('two')]);
    expect(one).toEqual(two);
    expect(await readdir(temp.path)).toEqual(['spool.key']);
  });

  it('seals and opens spool objects', async () => {
    await using temp = await TempDir.create();
    const random = seededRandom('spool');
    const dataKey = await openSpoolKey({ path: join(temp.path, 'spool.key'), random });
    const ask = { kind: OBJECT_KIND.spool, identity: { writer: 'w', start: '0' } };
    const { bytes } = sealBytes(Buffer.from('x'), { dataKey, compression: 0, random, ...ask });
    expect(openBytes(bytes, { keyOf: () => dataKey, ...ask }).toString()).toBe('x');
  });

  it('refuses a file that is open to others, of another size, or cannot be made', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'spool.key');
    const random = seededRandom('spool');
    for (const size of [0, 31, 33]) {
      await writeFile(path, Buffer.alloc(size), { mode: 0o600 });
      const refused = { code: 'TM_KEY_RING', context: { path } };
      await expect(openSpoolKey({ path, random })).rejects.toMatchObject(refused);
    }
    await writeFile(path, Buffer.alloc(32));
    await chmod(path, 0o644);
    const open = openSpoolKey({ path, random });
    await expect(open).rejects.toMatchObject({ hint: `run: chmod 600 ${path}` });
    const nowhere = openSpoolKey({ path: join(temp.path, 'none', 'spool.key'), random });
    await expect(nowhere).rejects.toMatchObject({ code: 'TM_KEY_RING' });
  });
});
