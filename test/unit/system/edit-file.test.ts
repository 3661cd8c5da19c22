import {
  chmod,
  lstat,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { editFile, nextOf } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TempDir } from '../../support/temp-dir.ts';

let temp: TempDir;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'list');
});
afterEach(() => temp[Symbol.asyncDispose]());

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

describe('editFile()', () => {
  it('makes a private file, and is told that there was none', async () => {
    await editFile(path, (text) => `${String(text)}\n`);
    expect(await readFile(path, 'utf8')).toBe('null\n');
    expect(await modeOf(path)).toBe(0o600);
  });

  it('leaves to a file who may read it and who owns it', async () => {
    await writeFile(path, 'a\n');
    await chmod(path, 0o640);
    const { uid, gid } = await stat(path);
    await editFile(path, (text) => `${text ?? ''}b\n`);
    expect(await readFile(path, 'utf8')).toBe('a\nb\n');
    expect(await modeOf(path)).toBe(0o640);
    expect(await stat(path)).toMatchObject({ uid, gid });
  });

  it('writes through a link', async () => {
    await writeFile(path, 'a');
    const link = join(temp.path, 'link');
    await symlink('list', link);
    await editFile(link, () => 'b');
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('b');
  });

  it('loses no change of editors that come together', async () => {
    await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        editFile(path, (text) => `${text ?? ''}${String(at)}\n`),
      ),
    );
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    expect(lines.map(Number).sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
  });

  it('leaves the file as it is, and nothing beside it, when the change fails', async () => {
    await writeFile(path, 'a');
    const failing = editFile(path, () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await readFile(path, 'utf8')).toBe('a');
    expect(await readdir(temp.path)).toEqual(['list']);
  });

  it('takes away what a killed editor left once it is old, and never the lock of another one', async () => {
    await writeFile(nextOf(path), 'half');
    await utimes(nextOf(path), 0, 0);
    await editFile(path, () => 'whole');
    expect(await readFile(path, 'utf8')).toBe('whole');
    const robbed = editFile(path, async () => {
      await rm(nextOf(path));
      await writeFile(nextOf(path), 'of another one');
      return 'lost';
    });
    await expect(robbed).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(path, 'utf8')).toBe('whole');
    expect(await readFile(nextOf(path), 'utf8')).toBe('of another one');
  });
});
