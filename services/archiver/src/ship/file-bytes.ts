import { open, type FileHandle } from 'node:fs/promises';
import { TidemarkError, type ByteSource } from '@tidemark/core';

const READ_BYTES = 1024 * 1024;

/**
 * Reads a pinned base file, as often as it is asked to. The next MiB is read while the one before is
 * worked on.
 * @param bytesMax - Bytes at its start. Default: all.
 * @throws TidemarkError `TM_AOF_DIR` when it is gone.
 */
export function fileBytes(
  path: string,
  bytesMax: number = Infinity,
): (signal: AbortSignal) => ByteSource {
  return (signal) => readFileChunks(path, bytesMax, signal);
}

/** A chunk is valid until the next one: scan and packing are done with it by then. */
async function* readFileChunks(path: string, bytesMax: number, signal: AbortSignal): ByteSource {
  const file = await open(path, 'r').catch((cause: unknown) => {
    // Not a fault of the spool that it is read for: trying again does not bring it back.
    throw new TidemarkError('TM_AOF_DIR', 'the base is gone', {
      cause,
      hint: 'its pin was over the limit (archiver.pin_max); the next rewrite brings another base',
    });
  });
  let buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  let other = Buffer.allocUnsafeSlow(READ_BYTES);
  let rest = bytesMax;
  let ahead = readInto(file, buffer, rest);
  try {
    for (;;) {
      signal.throwIfAborted();
      const bytesRead = await ahead;
      if (bytesRead === 0) return;
      rest -= bytesRead;
      ahead = readInto(file, other, rest);
      yield buffer.subarray(0, bytesRead);
      [buffer, other] = [other, buffer];
    }
  } finally {
    await ahead.catch(() => 0);
    await file.close();
  }
}

/** Begins to read; 0 at the end. Looked at when it is its turn. */
function readInto(file: FileHandle, buffer: Buffer, bytesMax: number): Promise<number> {
  if (bytesMax <= 0) return Promise.resolve(0);
  const reading = file
    .read(buffer, 0, Math.min(READ_BYTES, bytesMax))
    .then(({ bytesRead }) => bytesRead);
  reading.catch(() => undefined);
  return reading;
}
