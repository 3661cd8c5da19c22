import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { TempDir } from '../../support/temp-dir.ts';

describe('replaceFile', () => {
  it.each(['none', 'content', 'name'] as const)(
    'leaves the new content, private, and nothing beside it (durable: %s)',
    async (durable) => {
      await using temp = await TempDir.create();
      const path = join(temp.path, 'note');
      await replaceFile(path, 'a long first content', { durable });
      await replaceFile(path, Buffer.from('second'), { durable });
      expect(await readFile(path, 'utf8')).toBe('second');
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(await readdir(temp.path)).toEqual(['note']);
    },
  );

  it('gives the file the time that it is to carry', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'note');
    await replaceFile(path, 'x', { modifiedMs: 1_795_000_000_123 });
    expect(Math.round((await stat(path)).mtimeMs)).toBe(1_795_000_000_123);
  });

  it('writes over what one that was killed left, and keeps the old content when it cannot', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'note');
    await writeFile(`${path}.tmp`, 'half of a content that is longer');
    await replaceFile(path, 'whole');
    expect(await readFile(path, 'utf8')).toBe('whole');
    await mkdir(`${path}.tmp`);
    await expect(replaceFile(path, 'never')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readFile(path, 'utf8')).toBe('whole');
  });
});
