import { isEntry, type RdbBatch, ROW } from '../scan/rows.ts';
import { type LargeEntry, LargestEntries } from './largest-entries.ts';
import { VALUE_KINDS, type ValueKind, valueKind } from './value-kind.ts';

/** How much of one kind a file holds. */
export interface KindCount {
  readonly kind: ValueKind;
  readonly keys: number;
  readonly expires: number;
  /** Bytes of the entries in the file. */
  readonly bytes: number;
}

/** Counts keys, expiries and bytes by kind, and keeps the largest entry. */
export class RdbSurvey {
  readonly #keys = new Float64Array(256);
  readonly #expires = new Float64Array(256);
  readonly #bytes = new Float64Array(256);
  readonly #largest = new LargestEntries(1);

  addBatch(batch: RdbBatch): void {
    const { count, type, flags, start, end } = batch;
    for (let row = 0; row < count; row += 1) {
      const kind = type[row] as number;
      if (!isEntry(kind)) continue;
      this.#keys[kind] = (this.#keys[kind] as number) + 1;
      this.#bytes[kind] =
        (this.#bytes[kind] as number) + (end[row] as number) - (start[row] as number);
      if (((flags[row] as number) & ROW.hasExpiry) !== 0) {
        this.#expires[kind] = (this.#expires[kind] as number) + 1;
      }
    }
    this.#largest.addBatch(batch);
  }

  /** The kinds that there are. */
  get kinds(): readonly KindCount[] {
    return VALUE_KINDS.map((kind) => ({
      kind,
      keys: sumOf(this.#keys, kind),
      expires: sumOf(this.#expires, kind),
      bytes: sumOf(this.#bytes, kind),
    })).filter(({ keys }) => keys > 0);
  }

  /** The entry with most bytes, or null in a file without entries. */
  get largest(): LargeEntry | null {
    const all = VALUE_KINDS.flatMap((kind) => this.#largest.list(kind));
    return all.sort((a, b) => b.bytes - a.bytes || a.offset - b.offset)[0] ?? null;
  }
}

function sumOf(counts: Float64Array, kind: ValueKind): number {
  return counts.reduce((sum, count, type) => (valueKind(type) === kind ? sum + count : sum), 0);
}
