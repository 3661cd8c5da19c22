import { type KeyTable } from './key-table.ts';

/** Bytes compared at once: they fill a 64-bit number together with a 24-bit row number. */
const STEP_BYTES = 5;
const ROW_BITS = 24;
const SMALL = 12;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const LOW = LITTLE_ENDIAN ? 0 : 1;
const HIGH = LITTLE_ENDIAN ? 1 : 0;

/** Most rows that can be sorted. */
const SORTED_ROWS_MAX: number = 2 ** ROW_BITS;

/**
 * Row numbers of a table in byte order of (db, key).
 *
 * Ranges of rows that agree in their first bytes are sorted by their next 5 bytes as numbers, which
 * the engine does natively; bytes that a whole range shares are passed over first.
 */
export function sortedRows(table: KeyTable): Uint32Array {
  const order = new Uint32Array(table.count);
  for (let row = 0; row < order.length; row++) order[row] = row;
  const keys = new BigUint64Array(order.length);
  const ranges: number[] = [0, order.length, 0];
  while (ranges.length > 0) {
    const depth = ranges.pop() as number;
    const end = ranges.pop() as number;
    const start = ranges.pop() as number;
    if (end - start <= SMALL) insertionSort(table, order, start, end);
    else sortRange(table, { order, keys, ranges, start, end, depth });
  }
  return order;
}

interface Range {
  readonly order: Uint32Array;
  readonly keys: BigUint64Array;
  /** Stack of (start, end, depth) still to be sorted. */
  readonly ranges: number[];
  readonly start: number;
  readonly end: number;
  /** Bytes that are known to agree. */
  readonly depth: number;
}

function sortRange(table: KeyTable, range: Range): void {
  const { order, start, end } = range;
  const { shared, longest } = commonBytes(table, range);
  const rows = order.slice(start, end);
  if (shared >= longest) {
    // Equal up to trailing zero bytes, which padding does not tell apart: shorter ones come first.
    order.set(
      [...rows].sort((a, b) => table.lengthOf(a) - table.lengthOf(b)),
      start,
    );
    return;
  }
  const { arena } = table;
  const count = end - start;
  const words = new Uint32Array(range.keys.buffer, 0, count * 2);
  for (let i = 0; i < count; i++) {
    const row = rows[i] as number;
    const at = table.startOf(row) + shared;
    const left = table.lengthOf(row) - shared;
    let high = 0;
    for (let byte = 0; byte < 4; byte++) {
      high = (high << 8) | (byte < left ? (arena[at + byte] as number) : 0);
    }
    const fifth = left > 4 ? (arena[at + 4] as number) : 0;
    words[i * 2 + HIGH] = high;
    words[i * 2 + LOW] = (fifth << ROW_BITS) | i;
  }
  range.keys.subarray(0, count).sort();
  let runStart = 0;
  for (let i = 0; i < count; i++) {
    order[start + i] = rows[(words[i * 2 + LOW] as number) & (SORTED_ROWS_MAX - 1)] as number;
    const last =
      i + 1 === count ||
      words[i * 2 + HIGH] !== words[i * 2 + 2 + HIGH] ||
      (words[i * 2 + LOW] as number) >>> ROW_BITS !==
        (words[i * 2 + 2 + LOW] as number) >>> ROW_BITS;
    if (!last) continue;
    if (i > runStart) range.ranges.push(start + runStart, start + i + 1, shared + STEP_BYTES);
    runStart = i + 1;
  }
}

/** How many first bytes all rows of a range share, and the length of its longest row. */
function commonBytes(table: KeyTable, range: Range): { shared: number; longest: number } {
  const { order, start, end, depth } = range;
  const { arena } = table;
  const first = table.startOf(order[start] as number);
  let shared = table.lengthOf(order[start] as number);
  let longest = shared;
  for (let i = start + 1; i < end; i++) {
    const row = order[i] as number;
    const length = table.lengthOf(row);
    if (length > longest) longest = length;
    const at = table.startOf(row);
    const most = Math.min(shared, length);
    let same = Math.min(depth, most);
    while (same < most && arena[first + same] === arena[at + same]) same++;
    shared = same;
  }
  return { shared: Math.max(shared, depth), longest };
}

function insertionSort(table: KeyTable, order: Uint32Array, start: number, end: number): void {
  for (let i = start + 1; i < end; i++) {
    const row = order[i] as number;
    let at = i;
    for (; at > start && compareRows(table, order[at - 1] as number, row) > 0; at--) {
      order[at] = order[at - 1] as number;
    }
    order[at] = row;
  }
}

function compareRows(table: KeyTable, a: number, b: number): number {
  const { arena } = table;
  const aStart = table.startOf(a);
  const bStart = table.startOf(b);
  const shorter = Math.min(table.lengthOf(a), table.lengthOf(b));
  for (let i = 0; i < shorter; i++) {
    const difference = (arena[aStart + i] as number) - (arena[bStart + i] as number);
    if (difference !== 0) return difference;
  }
  return table.lengthOf(a) - table.lengthOf(b);
}
