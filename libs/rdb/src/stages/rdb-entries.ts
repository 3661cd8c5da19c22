import type { ByteSource } from '@tidemark/core';
import { isEntry, type RdbBatch, ROW } from '../scan/rows.ts';
import { RdbScanner } from '../scan/scanner.ts';
import { pieces } from './pieces.ts';

/** A key of an RDB and where it stands. */
export interface RdbEntry {
  readonly db: number;
  /** Decoded, a copy. */
  readonly key: Buffer;
  /** Type byte; its meaning from 22 on depends on the product. */
  readonly type: number;
  /** Unix milliseconds. */
  readonly expiryMs: number | null;
  /** First byte, with the expiry before it. */
  readonly offset: number;
  /** Length from there on. */
  readonly bytes: number;
  /** First byte of the value; the value ends where the entry ends, so it can be read on its own. */
  readonly valueOffset: number;
  /** The KEY_META block (Redis 8.6) with its opcode, for `dumpPayload`; null when there is none. */
  readonly keyMeta: { readonly offset: number; readonly bytes: number } | null;
}

/** Small pieces keep the number of entries held at once small. */
const PIECE_BYTES = 65_536;

function collect(batch: RdbBatch, entries: RdbEntry[]): void {
  for (let row = 0; row < batch.count; row += 1) {
    const type = batch.type[row] as number;
    if (!isEntry(type)) continue;
    const offset = batch.start[row] as number;
    const flags = batch.flags[row] as number;
    const metaStart = batch.metaStart[row] as number;
    const hasExpiry = (flags & ROW.hasExpiry) !== 0;
    entries.push({
      db: batch.db[row] as number,
      key: Buffer.from(batch.keyOf(row)),
      type,
      expiryMs: hasExpiry ? (batch.expiryMs[row] as number) : null,
      offset,
      bytes: (batch.end[row] as number) - offset,
      valueOffset: batch.valueStart[row] as number,
      keyMeta:
        (flags & ROW.hasKeyMeta) === 0
          ? null
          : { offset: metaStart, bytes: (batch.metaEnd[row] as number) - metaStart },
    });
  }
}

/**
 * Lists the entries of an RDB in file order, in batches that are never empty.
 *
 * The checksum is checked at the end: entries are proven only when the loop ends without a throw.
 * @throws FormatError or IntegrityError as `RdbScanner` does.
 */
export async function* scanRdbEntries(
  source: ByteSource,
): AsyncGenerator<readonly RdbEntry[], void, undefined> {
  let entries: RdbEntry[] = [];
  const scanner = new RdbScanner((batch) => {
    collect(batch, entries);
  });
  for await (const chunk of source) {
    for (const piece of pieces(chunk, PIECE_BYTES)) {
      scanner.push(piece);
      if (entries.length === 0) continue;
      yield entries;
      entries = [];
    }
  }
  scanner.end();
}
