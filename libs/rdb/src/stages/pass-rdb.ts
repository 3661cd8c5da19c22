import type { ByteSource } from '@tidemark/core';
import { RdbScanner } from '../scan/scanner.ts';
import type { RdbSummary } from '../scan/summary.ts';

/**
 * Passes an RDB through unchanged and checks it on the way: structure, checksum, nothing after it.
 *
 * No byte of a chunk that holds a fault is passed on; chunks before it have gone.
 * @param onSummary - Called once, after the last byte was passed on and only when the RDB is whole.
 * @throws FormatError or IntegrityError as `RdbScanner` does.
 */
export async function* passRdb(
  source: ByteSource,
  onSummary: (summary: RdbSummary) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const scanner = new RdbScanner();
  for await (const chunk of source) {
    scanner.push(chunk);
    yield chunk;
  }
  onSummary(scanner.end());
}
