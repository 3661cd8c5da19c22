import { open, type FileHandle } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { UsageError } from '@tidemark/core';
import type { Invocation } from '../invocation.ts';
import { formatBytes } from '../output/table.ts';

const CHUNK_BYTES = 1024 * 1024;
const PROGRESS_EVERY_MS = 200;

/** The name that stands for the standard input. */
export const STANDARD_INPUT = '-';

/** An error of the system when a file of the user is opened or read. */
export function unreadable(path: string, cause: unknown): UsageError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  const hints: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'the user that runs this may not read it',
    EISDIR: 'it is a folder: name a file in it',
  };
  const hint = hints[code];
  return new UsageError('TM_USAGE', `cannot read ${path} (${code})`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

/**
 * Reads a file from its start, or the standard input, in pieces that are valid until the next one.
 *
 * A file is read up to the size it had at the start, so that one that grows comes to an end. On a
 * terminal the progress is shown.
 * @param path - A path, or `-`.
 * @throws UsageError `TM_USAGE` when it cannot be read; `TM_CANCELLED` after Ctrl-C.
 */
export async function* readInput(path: string, invocation: Invocation): AsyncGenerator<Buffer> {
  const progress = new Progress(invocation);
  if (path === STANDARD_INPUT) {
    yield* readStandardInput(invocation, progress);
    return;
  }
  let handle: FileHandle;
  let size: number;
  try {
    handle = await open(path);
    const stat = await handle.stat();
    size = stat.isFile() ? stat.size : Number.MAX_SAFE_INTEGER;
    progress.of = stat.isFile() ? size : null;
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let at = 0; at < size;) {
      invocation.signal.throwIfAborted();
      const bytesRead = await readSome(handle, buffer, Math.min(CHUNK_BYTES, size - at), path);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
      progress.add(bytesRead);
    }
  } finally {
    await handle.close();
  }
}

async function* readStandardInput(
  { signal }: Invocation,
  progress: Progress,
): AsyncGenerator<Buffer> {
  try {
    // Ctrl-C ends the wait for bytes that may never come.
    for await (const chunk of addAbortSignal(signal, process.stdin)) {
      yield chunk as Buffer;
      progress.add((chunk as Buffer).length);
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  }
}

async function readSome(
  handle: FileHandle,
  buffer: Buffer,
  length: number,
  path: string,
): Promise<number> {
  try {
    return (await handle.read(buffer, 0, length, null)).bytesRead;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** How much was read, shown now and then. */
class Progress {
  /** Bytes in all, or null when that is not known. */
  of: number | null = null;
  readonly #invocation: Invocation;
  #done = 0;
  #shownMs = 0;

  constructor(invocation: Invocation) {
    this.#invocation = invocation;
  }

  add(bytes: number): void {
    this.#done += bytes;
    const now = performance.now();
    if (now - this.#shownMs < PROGRESS_EVERY_MS) return;
    this.#shownMs = now;
    const all =
      this.of === null
        ? ''
        : ` of ${formatBytes(this.of)}, ${Math.floor((this.#done / this.of) * 100).toString()} %`;
    this.#invocation.printer.progress(`${formatBytes(this.#done)}${all}`);
  }
}
