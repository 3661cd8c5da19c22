import { decodeLzf } from '../format/lzf.ts';
import { OPCODE, OPCODE_FIRST } from '../format/opcodes.ts';
import type { GrowingBytes } from '../format/growing-bytes.ts';
import type { ChunkCursor } from './cursor.ts';
import { type Layout, valueEnd } from './layout.ts';
import { BATCH_ROWS, ROW, type RowBatch } from './rows.ts';
import { lzfLengthMax } from './steps.ts';
import { int32Le, int64Le, lengthEnd, lengthValue, stringEnd } from './within.ts';

/** The shortest entry: type, empty key, empty value. */
export const ENTRY_BYTES_MIN = 3;
/** The longest expiry prefix with the shortest entry after it. */
export const EXPIRING_BYTES_MIN = 9 + ENTRY_BYTES_MIN;

/**
 * Scans entries that lie wholly inside the chunk, as many as follow one another.
 *
 * Stops, at the start of an entry, at whatever it does not settle: the chunk's end, an opcode, a
 * full batch, a rare encoding, a fault. The step-by-step reader goes on from there.
 */
export function scanEntriesWithin(
  cursor: ChunkCursor,
  rows: RowBatch,
  layouts: readonly (Layout | undefined)[],
  db: number,
): void {
  const { bytes, end, base } = cursor;
  let at = cursor.at;
  while (rows.count < BATCH_ROWS && at + ENTRY_BYTES_MIN <= end) {
    let next = at;
    let flags = 0;
    let expiryMs = -1;
    let type = bytes[next] as number;
    if (type === OPCODE.expiryMs || type === OPCODE.expirySeconds) {
      if (next + EXPIRING_BYTES_MIN > end) break;
      const wide = type === OPCODE.expiryMs;
      expiryMs = wide ? int64Le(bytes, next + 1) : int32Le(bytes, next + 1) * 1000;
      if (expiryMs !== -1) flags = wide ? ROW.hasExpiry : ROW.hasExpiry | ROW.expiryInSeconds;
      next += wide ? 9 : 5;
      type = bytes[next] as number;
    }
    if (type === OPCODE.frequency || type === OPCODE.idle) {
      next = type === OPCODE.frequency ? next + 2 : lengthEnd(bytes, next + 1, end);
      if (next < 0 || next >= end) break;
      type = bytes[next] as number;
    }
    if (type >= OPCODE_FIRST) break;
    const typeAt = next;
    let keyStart = next + 1;
    let keyEnd = keyLiteralEnd(bytes, keyStart, end);
    let value = keyEnd;
    if (keyEnd >= 0) {
      keyStart += (bytes[keyStart] as number) < 0x40 ? 1 : 2;
    } else {
      const { apart } = rows;
      const apartStart = apart.length;
      value = decodeKey(bytes, keyStart, end, apart);
      if (value < 0) break;
      flags |= ROW.keyApart;
      keyStart = apartStart;
      keyEnd = apart.length;
    }
    const layout = layouts[type];
    if (layout === undefined) break;
    const stop = type === 0 ? stringEnd(bytes, value, end) : valueEnd(layout, bytes, value, end);
    if (stop < 0) break;
    const row = rows.count;
    rows.type[row] = type;
    rows.flags[row] = flags;
    rows.db[row] = db;
    rows.expiryMs[row] = expiryMs;
    rows.expiryAt[row] = base + at;
    rows.typeAt[row] = base + typeAt;
    rows.start[row] = base + at;
    rows.end[row] = base + stop;
    rows.valueStart[row] = base + value;
    rows.keyStart[row] = keyStart;
    rows.keyEnd[row] = keyEnd;
    rows.count = row + 1;
    at = stop;
    if ((flags & ROW.keyApart) !== 0 && rows.full) break;
  }
  cursor.at = at;
}

/** Position after a key that stands as it is, or -1; for keys shorter than 16 KiB. */
function keyLiteralEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const first = bytes[at] as number;
  let next = -1;
  if (first < 0x40) next = at + 1 + first;
  else if (first < 0x80 && at + 1 < end) {
    next = at + 2 + (((first & 0x3f) << 8) | (bytes[at + 1] as number));
  }
  return next < end ? next : -1;
}

/** Appends an integer or packed key to `apart` and gives the position after it, or -1. */
export function decodeKey(bytes: Uint8Array, at: number, end: number, apart: GrowingBytes): number {
  if (at + 5 > end) return -1;
  const first = bytes[at] as number;
  let next: number;
  if (first === 0xc0) {
    apart.appendText(String(((bytes[at + 1] as number) << 24) >> 24));
    next = at + 2;
  } else if (first === 0xc1) {
    const value = ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 24);
    apart.appendText(String(value >> 16));
    next = at + 3;
  } else if (first === 0xc2) {
    apart.appendText(String(int32Le(bytes, at + 1)));
    next = at + 5;
  } else if (first === 0xc3) {
    next = decodePackedKey(bytes, at + 1, end, apart);
  } else {
    next = -1;
  }
  return next < end ? next : -1;
}

function decodePackedKey(bytes: Uint8Array, at: number, end: number, apart: GrowingBytes): number {
  const second = lengthEnd(bytes, at, end);
  const start = second < 0 ? -1 : lengthEnd(bytes, second, end);
  if (start < 0) return -1;
  const packed = lengthValue(bytes, at);
  const plain = lengthValue(bytes, second);
  if (start + packed > end || plain > lzfLengthMax(packed)) return -1;
  return decodeLzf(bytes, { start, end: start + packed }, plain, apart) ? start + packed : -1;
}
