import { execFile } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { withHostLock } from '../../../services/control/src/provision/host-lock.ts';
import { TempDir } from '../../support/temp-dir.ts';

const SQLITE = createRequire(
  new URL('../../../services/control/src/index.ts', import.meta.url),
).resolve('better-sqlite3');

const PROGRAM = `
  const [, sqlite, path] = process.argv;
  const db = new (require(sqlite))(path, { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
    console.log('inside');
  } catch (cause) {
    console.log(cause.code);
  }
`;

/** What another process gets that wants the lock now. */
async function asChild(path: string): Promise<string> {
  const words = ['-e', PROGRAM, SQLITE, path];
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 60_000 });
  return stdout.trim();
}

it('nobody of another process is inside beside one, however many of this one wait', async () => {
  await using temp = await TempDir.create('tidemark-lock-');
  const path = join(temp.path, 'state', 'servers.lock');
  let inside = 0;
  const others: string[] = [];
  const work = async (): Promise<void> => {
    inside++;
    expect(inside).toBe(1);
    others.push(await asChild(path));
    expect(inside).toBe(1);
    inside--;
  };
  await Promise.all([1, 2].map(() => withHostLock(path, work)));
  expect(others).toEqual(['SQLITE_BUSY', 'SQLITE_BUSY']);
  expect(await asChild(path)).toBe('inside');
}, 120_000);

it('one whose work fails lets the next one in, under whatever name of the folder', async () => {
  await using temp = await TempDir.create('tidemark-lock-');
  const link = join(temp.path, 'link');
  const dir = join(temp.path, 'state');
  await withHostLock(join(dir, 'servers.lock'), () => Promise.resolve());
  await symlink(dir, link);
  const path = join(dir, 'servers.lock');
  const failing = withHostLock(path, async () => {
    expect(await asChild(path)).toBe('SQLITE_BUSY');
    throw new Error('no room');
  });
  const next = withHostLock(join(link, 'servers.lock'), () => asChild(path));
  await expect(failing).rejects.toThrow('no room');
  expect(await next).toBe('SQLITE_BUSY');
}, 120_000);
