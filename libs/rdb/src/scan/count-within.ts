import type { GrowingBytes } from '../format/growing-bytes.ts';
import { OPCODE, OPCODE_FIRST } from '../format/opcodes.ts';
import type { ChunkCursor } from './cursor.ts';
import { decodeKey, ENTRY_BYTES_MIN, EXPIRING_BYTES_MIN } from './entries-within.ts';
import { type Layout, valueEnd } from './layout.ts';
import { int32Le, int64Le, lengthEnd, stringEnd } from './within.ts';

/** What is counted of entries; `countEntriesWithin` adds to it. */
export interface EntryCounts {
  /** Type byte to number of keys. */
  readonly types: Float64Array;
  keys: number;
  expires: number;
  /** Bytes of the longest entry. */
  largest: number;
}

/**
 * Counts entries that lie wholly inside the chunk, as many as follow one another: what
 * `scanEntriesWithin` does, for those who do not look at single entries.
 *
 * Stops where that stops; the step-by-step reader goes on from there.
 * @param apart - Scratch for packed keys.
 */
export function countEntriesWithin(
  cursor: ChunkCursor,
  layouts: readonly (Layout | undefined)[],
  counts: EntryCounts,
  apart: GrowingBytes,
): void {
  const { bytes, end } = cursor;
  const { types } = counts;
  let { keys, expires, largest } = counts;
  let at = cursor.at;
  while (at + ENTRY_BYTES_MIN <= end) {
    let typeAt = at;
    if ((bytes[at] as number) >= OPCODE_FIRST) {
      typeAt = prefixEnd(bytes, at, end);
      if (typeAt < 0) break;
    }
    const type = bytes[typeAt] as number;
    const layout = layouts[type];
    if (layout === undefined) break;
    const value = keyEnd(bytes, typeAt + 1, end, apart);
    if (value < 0) break;
    const stop = type === 0 ? stringEnd(bytes, value, end) : valueEnd(layout, bytes, value, end);
    if (stop < 0) break;
    types[type] = (types[type] as number) + 1;
    keys += 1;
    if (typeAt > at && hasExpiry(bytes, at)) expires += 1;
    if (stop - at > largest) largest = stop - at;
    at = stop;
  }
  cursor.at = at;
  counts.keys = keys;
  counts.expires = expires;
  counts.largest = largest;
}

/** Position of the type byte behind an expiry and a frequency or idle time, or -1. */
function prefixEnd(bytes: Uint8Array, at: number, end: number): number {
  let next = at;
  let first = bytes[next] as number;
  if (first === OPCODE.expiryMs || first === OPCODE.expirySeconds) {
    if (next + EXPIRING_BYTES_MIN > end) return -1;
    next += first === OPCODE.expiryMs ? 9 : 5;
    first = bytes[next] as number;
  }
  if (first === OPCODE.frequency) next += 2;
  else if (first === OPCODE.idle) next = lengthEnd(bytes, next + 1, end);
  return next < end ? next : -1;
}

/** -1 stands for no expiry. */
function hasExpiry(bytes: Uint8Array, at: number): boolean {
  const first = bytes[at] as number;
  if (first === OPCODE.expiryMs) return int64Le(bytes, at + 1) !== -1;
  return first === OPCODE.expirySeconds && int32Le(bytes, at + 1) !== -1;
}

/** Position after a key that is shorter than 16 KiB or packed, or -1. */
function keyEnd(bytes: Uint8Array, at: number, end: number, apart: GrowingBytes): number {
  if (at >= end) return -1;
  const first = bytes[at] as number;
  let next: number;
  if (first < 0x40) next = at + 1 + first;
  else if (first < 0x80) {
    if (at + 2 > end) return -1;
    next = at + 2 + (((first & 0x3f) << 8) | (bytes[at + 1] as number));
  } else {
    apart.clear();
    return decodeKey(bytes, at, end, apart);
  }
  return next < end ? next : -1;
}
