import { isEntry, RdbScanner, type RdbSummary, ROW } from '@tidemark/rdb';
import type { BuiltEntry } from './rdb-builder.ts';

/** Everything a scan finds. */
export interface ScanResult {
  readonly entries: BuiltEntry[];
  /** Opcodes between the entries with their offsets. */
  readonly opcodes: { readonly opcode: number; readonly offset: number; readonly bytes: number }[];
  readonly summary: RdbSummary;
}

/** Scans a file given in chunks. */
export function scanChunks(chunks: Iterable<Uint8Array>): ScanResult {
  const entries: BuiltEntry[] = [];
  const opcodes: ScanResult['opcodes'] = [];
  const scanner = new RdbScanner((batch) => {
    for (let row = 0; row < batch.count; row += 1) {
      const type = batch.type[row]!;
      const offset = batch.start[row]!;
      const bytes = batch.end[row]! - offset;
      if (!isEntry(type)) {
        opcodes.push({ opcode: type, offset, bytes });
        continue;
      }
      const expires = (batch.flags[row]! & ROW.hasExpiry) !== 0;
      entries.push({
        db: batch.db[row]!,
        key: Buffer.from(batch.keyOf(row)),
        type,
        expiryMs: expires ? batch.expiryMs[row]! : null,
        ...{ offset, valueOffset: batch.valueStart[row]!, bytes },
      });
    }
  });
  for (const chunk of chunks) scanner.push(chunk);
  return { entries, opcodes, summary: scanner.end() };
}

/** Scans a file in chunks without looking at single entries. */
export function countChunks(chunks: Iterable<Uint8Array>): RdbSummary {
  const scanner = new RdbScanner();
  for (const chunk of chunks) scanner.push(chunk);
  return scanner.end();
}

/** A buffer cut into pieces of one size. */
export function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** What a scan of a damaged file throws; fails when it throws nothing. */
export function scanFault(bytes: Uint8Array, size = bytes.length): unknown {
  try {
    scanChunks(cut(bytes, Math.max(size, 1)));
  } catch (error) {
    return error;
  }
  throw new Error('the scan did not fail');
}
