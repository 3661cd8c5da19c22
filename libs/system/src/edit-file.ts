import { open, readFile, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const TRIES = 100;
const PAUSE_MS = 20;
const STALE_MS = 30_000;

/** What an editor of a file leaves beside it while it writes. */
export function nextOf(path: string): string {
  return `${path}.next`;
}

/**
 * Changes a text file that people edit too: one editor at a time among the processes of a host, and a
 * reader finds the old text or the new one. Who owns the file and who may read it stays as it was; a
 * link stays a link. A new file is private (0600).
 *
 * The new text is written beside it, as `<path>.next`, which is the lock as well: what an editor left
 * that was killed is taken away after 30 s. After a loss of power the new text is there.
 * @param change - The new text for the present one, null when there is no file. What it throws is
 *   thrown on, and the file stays as it is.
 * @throws The fault of the file system; `EEXIST` when another editor does not come to an end in 2 s.
 */
export async function editFile(
  path: string,
  change: (text: string | null) => string | Promise<string>,
): Promise<void> {
  const target = (await realpath(path).catch(unlessAbsent)) ?? path;
  const next = nextOf(target);
  const file = await lock(next);
  try {
    const known = await stat(target).catch(unlessAbsent);
    const text = await change(known === null ? null : await readFile(target, 'utf8'));
    if (known !== null) await takeRights(file, known);
    await file.writeFile(text);
    await file.sync();
    if (!(await isOurs(file, next))) throw taken(next);
    await rename(next, target);
  } catch (error) {
    if (await isOurs(file, next)) await rm(next, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await syncFolder(dirname(target));
}

async function lock(next: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open(next, 'wx', 0o600);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || attempt === TRIES) throw error;
      const known = await stat(next).catch(() => null);
      if (known !== null && Date.now() - known.mtimeMs > STALE_MS) await rm(next, { force: true });
      await delay(PAUSE_MS);
    }
  }
}

/** The owner first: a change of it takes rights away. Who is not root cannot give a file away. */
async function takeRights(
  file: FileHandle,
  known: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> {
  const own = await file.stat();
  if (own.uid !== known.uid || own.gid !== known.gid) await file.chown(known.uid, known.gid);
  await file.chmod(known.mode & 0o777);
}

/** Of two that found the same old lock at the same moment, the second takes away the new lock of the first. */
async function isOurs(file: FileHandle, next: string): Promise<boolean> {
  const [own, there] = await Promise.all([file.stat(), stat(next).catch(() => null)]);
  return own.ino === there?.ino && own.dev === there.dev;
}

function taken(next: string): Error {
  return Object.assign(new Error(`another editor has made ${next}`), {
    code: 'EEXIST',
    syscall: 'open',
  });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unlessAbsent(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null;
  throw error;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
