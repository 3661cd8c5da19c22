import { open } from 'node:fs/promises';
import { TidemarkError, type ByteSource } from '@tidemark/core';

const READ_BYTES = 1024 * 1024;

/**
 * Reads a pinned base file, as often as it is asked to.
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
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  try {
    for (let rest = bytesMax; rest > 0;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(READ_BYTES, rest));
      if (bytesRead === 0) return;
      rest -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
