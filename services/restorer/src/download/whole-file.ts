import { link, open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TidemarkError, type ByteSource, type Random } from '@tidemark/core';

/** Bytes that are gathered before they are written. */
const WRITE_BYTES = 256 * 1024;

/** What a file is written with. */
export interface WholeFileOptions {
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
  /** A file of that name is replaced once the new one is whole. Default: refused. */
  readonly replace?: boolean;
}

/**
 * Writes a file that appears whole or not at all: bytes go into a hidden file (0600) of the same
 * folder, which gets its name when all of them are on the disk. Nothing is left when the source or
 * the disk fails, or the signal comes.
 * @returns Bytes of the file.
 * @throws UsageError `TM_EXISTS` when the name is taken, TidemarkError `TM_OUTPUT`; what the source
 *   throws, as it is; the signal's reason.
 */
export async function writeWholeFile(
  path: string,
  source: ByteSource,
  options: WholeFileOptions,
): Promise<number> {
  const { random, signal, replace = false } = options;
  if (!replace && (await exists(path))) throw taken(path);
  const folder = dirname(path);
  const id = Buffer.from(random.bytes(8)).toString('hex');
  const staged = join(folder, `.${basename(path)}.${id}.part`);
  const file = await onDisk(path, open(staged, 'wx', 0o600));
  try {
    let bytes = 0;
    try {
      bytes = await pour(file, path, source, options);
      await onDisk(path, file.sync());
    } finally {
      await file.close();
    }
    signal.throwIfAborted();
    if (replace) await onDisk(path, rename(staged, path));
    else await publish(staged, path);
    await syncFolder(folder);
    return bytes;
  } finally {
    await unlink(staged).catch(() => undefined); // gone when it was published by its name
  }
}

async function pour(
  file: FileHandle,
  path: string,
  source: ByteSource,
  { signal, onBytes }: WholeFileOptions,
): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  let held = 0;
  let total = 0;
  const flush = async (): Promise<void> => {
    for (let at = 0; at < held;) {
      const { bytesWritten } = await onDisk(path, file.write(buffer, at, held - at));
      at += bytesWritten;
    }
    total += held;
    held = 0;
    onBytes(total);
  };
  try {
    for await (const part of source) {
      signal.throwIfAborted();
      for (let at = 0; at < part.length;) {
        const piece = part.subarray(at, at + WRITE_BYTES - held);
        buffer.set(piece, held);
        held += piece.length;
        at += piece.length;
        if (held === WRITE_BYTES) await flush();
      }
    }
    await flush();
    return total;
  } finally {
    buffer.fill(0);
  }
}

/** Gives the file its name, never in place of another one. */
async function publish(staged: string, path: string): Promise<void> {
  try {
    await link(staged, path);
    return;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw taken(path);
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw failed(path, cause);
  }
  // A file system without links.
  if (await exists(path)) throw taken(path);
  await onDisk(path, rename(staged, path));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await onDisk(folder, open(folder, 'r'));
  try {
    await onDisk(folder, handle.sync());
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw failed(path, cause);
  }
}

async function onDisk<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw failed(path, cause);
  }
}

function taken(path: string): TidemarkError {
  return new TidemarkError('TM_EXISTS', `${path} is there already`, {
    hint: 'name another file; nothing is written over',
  });
}

function failed(path: string, cause: unknown): TidemarkError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException;
  return new TidemarkError('TM_OUTPUT', `${path} cannot be written: ${code}`, {
    cause,
    context: { path, reason: code },
    hint: 'nothing was left there',
  });
}
