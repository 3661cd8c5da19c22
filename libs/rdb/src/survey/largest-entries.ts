import { isEntry, type RdbBatch, ROW } from '../scan/rows.ts';
import { type ValueKind, valueKind } from './value-kind.ts';

/** Bytes of a key that are kept. */
const KEY_BYTES_KEPT = 1024;

/** An entry among the largest. */
export interface LargeEntry {
  readonly kind: ValueKind;
  readonly type: number;
  readonly db: number;
  /** The key, or its first 1,024 bytes. */
  readonly key: Buffer;
  /** Whole length of the key. */
  readonly keyBytes: number;
  /** Bytes of the entry in the file, with its expiry and key. */
  readonly bytes: number;
  /** Unix milliseconds. */
  readonly expiryMs: number | null;
  readonly offset: number;
}

/** The largest entries of each kind, by their bytes in the file; of equal ones the first stay. */
export class LargestEntries {
  readonly #max: number;
  /** Heaps, the smallest entry on top. */
  readonly #heaps = new Map<ValueKind, LargeEntry[]>();

  /** @param max - Entries of each kind that are kept. */
  constructor(max: number) {
    this.#max = max;
  }

  addBatch(batch: RdbBatch): void {
    for (let row = 0; row < batch.count; row += 1) {
      const type = batch.type[row] as number;
      if (!isEntry(type)) continue;
      const kind = valueKind(type);
      const bytes = (batch.end[row] as number) - (batch.start[row] as number);
      const heap = this.#heaps.get(kind);
      if (
        heap !== undefined &&
        heap.length >= this.#max &&
        (heap[0] as LargeEntry).bytes >= bytes
      ) {
        continue;
      }
      this.#add(kind, entryOf(batch, row, kind));
    }
  }

  /** The largest first, kind by kind. */
  list(kind: ValueKind): readonly LargeEntry[] {
    return [...(this.#heaps.get(kind) ?? [])].sort(
      (a, b) => b.bytes - a.bytes || a.offset - b.offset,
    );
  }

  #add(kind: ValueKind, entry: LargeEntry): void {
    let heap = this.#heaps.get(kind);
    if (heap === undefined) this.#heaps.set(kind, (heap = []));
    if (heap.length < this.#max) {
      heap.push(entry);
      rise(heap);
    } else {
      heap[0] = entry;
      sink(heap);
    }
  }
}

function entryOf(batch: RdbBatch, row: number, kind: ValueKind): LargeEntry {
  const key = batch.keyOf(row);
  const offset = batch.start[row] as number;
  const hasExpiry = ((batch.flags[row] as number) & ROW.hasExpiry) !== 0;
  return {
    kind,
    type: batch.type[row] as number,
    db: batch.db[row] as number,
    key: Buffer.from(key.subarray(0, KEY_BYTES_KEPT)),
    keyBytes: key.length,
    bytes: (batch.end[row] as number) - offset,
    expiryMs: hasExpiry ? (batch.expiryMs[row] as number) : null,
    offset,
  };
}

/** Whether `one` goes before `two` does: it is smaller, or stands behind it. */
function isLess(one: LargeEntry, two: LargeEntry): boolean {
  return one.bytes < two.bytes || (one.bytes === two.bytes && one.offset > two.offset);
}

function rise(heap: LargeEntry[]): void {
  let at = heap.length - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isLess(heap[at] as LargeEntry, heap[above] as LargeEntry)) return;
    swap(heap, at, above);
    at = above;
  }
}

function sink(heap: LargeEntry[]): void {
  let at = 0;
  for (;;) {
    let least = at;
    for (const below of [2 * at + 1, 2 * at + 2]) {
      const entry = heap[below];
      if (entry !== undefined && isLess(entry, heap[least] as LargeEntry)) least = below;
    }
    if (least === at) return;
    swap(heap, at, least);
    at = least;
  }
}

function swap(heap: LargeEntry[], one: number, two: number): void {
  const entry = heap[one] as LargeEntry;
  heap[one] = heap[two] as LargeEntry;
  heap[two] = entry;
}
