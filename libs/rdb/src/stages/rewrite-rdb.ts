import type { ByteSource } from '@tidemark/core';
import type { RdbSummary } from '../scan/summary.ts';
import { pieces } from './pieces.ts';
import { RdbRewriter } from './rdb-rewriter.ts';
import type { RewriteRdbOptions } from './rewrite-rules.ts';

/** Bounds what one large chunk makes of output before it is handed on. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Writes an RDB anew from another one: keys chosen, expiries changed, values converted that readers of
 * the wanted version do not know, entries otherwise byte for byte.
 *
 * A database is named only when a kept key of it follows. Of the AUX fields only facts about the file
 * stay; SLOT_INFO and SLOT_IMPORT go; MODULE_AUX stays. The end of file and the checksum are written
 * only when the source was whole and its checksum held, so output that ends well is complete. An entry
 * of any size passes in constant memory: nothing but keys (512 MiB at most), what stands before them and
 * what a conversion needs (512 MiB at most, docs/formats/rdb-conversions.md) is held.
 * @param options - What changes.
 * @param onSummary - Called once after the last chunk: what was written and what was read. `modules`
 *   of the written summary are those of the source.
 * @throws What `RdbScanner` throws; FormatError `TM_RDB_REWRITE` (`context`: db, offset, type, needed)
 *   when an entry cannot be written as asked, `TM_RDB_VALUE` when one that is converted is damaged;
 *   UsageError `TM_USAGE` for a version that is not written.
 * @see docs/formats/rdb-reading.md, "Rewriting"
 */
export async function* rewriteRdb(
  source: ByteSource,
  options: RewriteRdbOptions,
  onSummary?: (written: RdbSummary, read: RdbSummary) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const rewriter = new RdbRewriter(options);
  for await (const chunk of source) {
    for (const piece of pieces(chunk, PIECE_BYTES)) {
      rewriter.push(piece);
      yield* rewriter.output.take();
    }
  }
  const { written, read } = rewriter.end();
  yield* rewriter.output.take(true);
  onSummary?.(written, read);
}
