import { constants, type Stats } from 'node:fs';
import { link, lstat, open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KeyError, type Random } from '@tidemark/core';

/**
 * Refuses a folder that others can look into, or that is reached over a symbolic link.
 * @throws KeyError `TM_KEY_RING` with `context.path` and the command to run.
 */
export async function assertPrivateDir(path: string): Promise<void> {
  const stats = await lstat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  if (stats.isSymbolicLink()) throw refused(path, 'is a symbolic link', realPathHint);
  if (!stats.isDirectory()) throw refused(path, 'is not a folder');
  assertPrivate(path, stats, '700');
}

/**
 * Reads a small secret file: a plain file of this user that nobody else may read or write.
 * @param limits - `bytesMax` inclusive; `systemCredential` also takes a file of root that its
 *   group root may read, as systemd lays credentials out on file systems with ACLs.
 * @throws KeyError `TM_KEY_RING` with `context.path` and the command to run.
 */
export async function readPrivateFile(
  path: string,
  limits: { readonly bytesMax: number; readonly systemCredential?: boolean },
): Promise<Buffer> {
  const link = await lstat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  if (link.isSymbolicLink()) throw refused(path, 'is a symbolic link', realPathHint);
  // NONBLOCK: a FIFO in the file's place must not hang the start.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw refused(path, 'is not a plain file');
    if (limits.systemCredential !== true || !isSystemCredential(stats)) {
      assertPrivate(path, stats, '600');
    }
    return await readUpTo(file, path, limits.bytesMax);
  } finally {
    await file.close();
  }
}

/**
 * Makes a file of mode 0600 that did not exist and forces it to the disk. On an error nothing is
 * left of it.
 * @throws The system's error, `EEXIST` when something stands there.
 */
export async function createPrivateFile(path: string, bytes: Uint8Array): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  try {
    await file.chmod(0o600); // the umask may have taken the owner's own bits
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await removeIfThere(path);
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Makes a file of mode 0600 whole or not at all: it gets its name when its bytes are on disk.
 * @returns False when the name was taken; that file is left as it is.
 * @throws KeyError `TM_KEY_RING` when the file system refuses.
 */
export async function publishPrivateFile(
  path: string,
  bytes: Uint8Array,
  random: Random,
): Promise<boolean> {
  const staged = `${path}.${random.bytes(8).toString('hex')}.tmp`;
  try {
    await createPrivateFile(staged, bytes);
    try {
      await link(staged, path);
    } finally {
      await removeIfThere(staged);
    }
    await syncDir(dirname(path));
    return true;
  } catch (cause) {
    if (isSystemError(cause, 'EEXIST')) return false;
    throw refused(path, 'cannot be made', undefined, cause);
  }
}

/** Forces a folder's entries to the disk. */
export async function syncDir(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}

/** Removes a file; one that is not there is fine. */
export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!isSystemError(error, 'ENOENT')) throw error;
  });
}

/** Whether an error is the system's error of this name. */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** The error for a key file that cannot be used. */
export function refused(path: string, what: string, hint?: string, cause?: unknown): KeyError {
  return new KeyError('TM_KEY_RING', `${path} ${what}`, {
    context: { path },
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}

const realPathHint = 'name the real path in the configuration';

function assertPrivate(path: string, stats: Stats, mode: '600' | '700'): void {
  const euid = process.geteuid?.() ?? stats.uid;
  if (stats.uid !== euid) {
    throw new KeyError('TM_KEY_RING', `${path} belongs to user ${stats.uid}, not to ${euid}`, {
      context: { path, owner: stats.uid, euid },
      hint: `run: chown ${euid} ${path}`,
    });
  }
  if ((stats.mode & 0o077) === 0) return;
  const actual = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  throw new KeyError('TM_KEY_RING', `${path} is open to other users (mode ${actual})`, {
    context: { path, mode: actual },
    hint: `run: chmod ${mode} ${path}`,
  });
}

function isSystemCredential(stats: Stats): boolean {
  return stats.uid === 0 && stats.gid === 0 && (stats.mode & 0o337) === 0;
}

async function readUpTo(file: FileHandle, path: string, bytesMax: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytesMax + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
  }
  buffer.fill(0);
  throw refused(path, `is larger than ${bytesMax} bytes`);
}

function unreadable(path: string, cause: unknown): KeyError {
  return isSystemError(cause, 'ENOENT')
    ? refused(path, 'does not exist', 'mount the volume, or put back a copy of it', cause)
    : refused(path, 'cannot be read', undefined, cause);
}
