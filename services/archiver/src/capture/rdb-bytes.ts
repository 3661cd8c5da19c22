import { createReadStream } from 'node:fs';
import { FormatError } from '@tidemark/core';
import { RdbScanner } from '@tidemark/rdb';

/**
 * Reads the RDB at the start of a file, which may go on with commands, and tells its length in bytes.
 * @throws FormatError or IntegrityError as `RdbScanner` when it is not whole.
 */
export async function readRdbBytes(path: string, signal: AbortSignal): Promise<number> {
  const scanner = new RdbScanner();
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    try {
      scanner.push(chunk as Buffer);
    } catch (cause) {
      // The RDB is over, checksum and all, where the commands begin.
      if (!(cause instanceof FormatError) || cause.code !== 'TM_RDB_TRAILING') throw cause;
      return Number(cause.context['offset']);
    }
  }
  return scanner.end().bytes;
}
