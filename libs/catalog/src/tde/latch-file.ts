import { link, mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSafeName, UsageError, type Random } from '@tidemark/core';
import { MARKER_BYTES_MAX } from './tde-latch.ts';

/**
 * Path of the archiver's own word that TDE of an instance is on.
 * @throws UsageError `TM_USAGE` for an id that cannot be part of a path.
 */
export function latchFilePath(stateDir: string, iid: string): string {
  if (!isSafeName(iid)) throw new UsageError('TM_USAGE', 'an instance id that is not allowed');
  return join(stateDir, 'tde', `${iid}.latch`);
}

/**
 * Reads the file.
 * @returns `null` when there is none. One byte more than a marker may have when it is longer.
 * @throws The system's error when it is there and cannot be read.
 */
export async function readLatchFile(path: string): Promise<Buffer | null> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(MARKER_BYTES_MAX + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await file.close();
  }
}

/**
 * Makes the file, whole or not at all and on disk when it resolves. One that is there stays: the
 * latch falls once.
 * @throws The system's error when the disk refuses.
 */
export async function createLatchFile(path: string, bytes: Buffer, random: Random): Promise<void> {
  const dir = dirname(path);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const staged = `${path}.${random.bytes(8).toString('hex')}.tmp`;
  try {
    const file = await open(staged, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(staged, path).catch((error: unknown) => {
      if (!isSystemError(error, 'EEXIST')) throw error;
    });
  } finally {
    await unlink(staged).catch(() => undefined); // it may never have been made
  }
  for (const folder of [dir, dirname(dir)]) await syncFolder(folder);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
