import { GrowingBytes } from '../format/growing-bytes.ts';
import { LZF_EXPANSION_MAX } from '../format/limits.ts';
import { decodeLzf } from '../format/lzf.ts';
import type { ChunkCursor, Steps } from './cursor.ts';
import { hexByte, notDecodable, rdbFault } from './faults.ts';
import { type Layout, LENGTH, STRING, type Unit, unitEnd } from './layout.ts';
import { int32Le, uint32Be } from './within.ts';

/** One byte. */
export function* readByte(cursor: ChunkCursor): Steps<number> {
  while (cursor.at >= cursor.end) yield;
  const byte = cursor.bytes[cursor.at] as number;
  cursor.at += 1;
  return byte;
}

/** Passes bytes without looking at them. */
export function* passBytes(cursor: ChunkCursor, count: number): Steps<void> {
  let left = count;
  while (left > cursor.end - cursor.at) {
    left -= cursor.end - cursor.at;
    cursor.at = cursor.end;
    yield;
  }
  cursor.at += left;
}

/** Up to eight bytes in one piece, wherever chunks end. */
export function* readBytes(cursor: ChunkCursor, count: number): Steps<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 1) bytes[at] = yield* readByte(cursor);
  return bytes;
}

/** A 64-bit length as two halves. */
export interface WideLength {
  readonly high: number;
  readonly low: number;
}

function* readLengthAfter(cursor: ChunkCursor, first: number, offset: number): Steps<WideLength> {
  if (first < 0x40) return { high: 0, low: first };
  if (first < 0x80) return { high: 0, low: ((first & 0x3f) << 8) | (yield* readByte(cursor)) };
  if (first === 0x80) return { high: 0, low: uint32Be(yield* readBytes(cursor, 4), 0) };
  if (first === 0x81) {
    const bytes = yield* readBytes(cursor, 8);
    return { high: uint32Be(bytes, 0), low: uint32Be(bytes, 4) };
  }
  throw rdbFault('TM_RDB_LENGTH', `byte ${hexByte(first)} does not start a length`, offset, {
    context: { byte: first },
  });
}

/** A length of which all 64 bits mean something (ids, counters). */
export function* readWideLength(cursor: ChunkCursor): Steps<WideLength> {
  const offset = cursor.offset;
  return yield* readLengthAfter(cursor, yield* readByte(cursor), offset);
}

function toNumber(wide: WideLength, max: number, offset: number): number {
  const length = wide.high * 4_294_967_296 + wide.low;
  if (length <= max) return length;
  const exact = (BigInt(wide.high) << 32n) | BigInt(wide.low);
  throw rdbFault('TM_RDB_LIMIT', `length ${exact} exceeds limit ${max}`, offset, {
    context: { length: exact, limit: max },
  });
}

/** A length that counts or measures something; not above `max` (inclusive). */
export function* readLength(
  cursor: ChunkCursor,
  max: number = Number.MAX_SAFE_INTEGER,
): Steps<number> {
  const offset = cursor.offset;
  return toNumber(yield* readWideLength(cursor), max, offset);
}

/** Passes a string of any encoding and size. */
export function* passString(cursor: ChunkCursor): Steps<void> {
  const offset = cursor.offset;
  const first = yield* readByte(cursor);
  if (first >= 0xc0 && first <= 0xc2) return yield* passBytes(cursor, 1 << (first & 3));
  if (first === 0xc3) {
    const packed = yield* readLength(cursor);
    yield* readLength(cursor);
    return yield* passBytes(cursor, packed);
  }
  return yield* passBytes(cursor, yield* readPlainLength(cursor, first, offset));
}

/** The length of a plain string whose first byte, at `offset`, was read. */
export function* readPlainLength(
  cursor: ChunkCursor,
  first: number,
  offset: number,
): Steps<number> {
  const wide = yield* readLengthAfter(cursor, first, offset);
  return toNumber(wide, Number.MAX_SAFE_INTEGER, offset);
}

/** Appends `count` bytes to `out`, as they come. */
export function* gather(cursor: ChunkCursor, count: number, out: GrowingBytes): Steps<void> {
  let left = count;
  for (;;) {
    const here = Math.min(left, cursor.end - cursor.at);
    out.append(cursor.bytes, cursor.at, cursor.at + here);
    cursor.at += here;
    left -= here;
    if (left === 0) return;
    yield;
  }
}

/** The text of a string that is written as an integer. */
export function integerText(bytes: Uint8Array): string {
  if (bytes.length === 1) return String(((bytes[0] as number) << 24) >> 24);
  if (bytes.length === 2) {
    return String((((bytes[0] as number) << 16) | ((bytes[1] as number) << 24)) >> 16);
  }
  return String(int32Le(bytes, 0));
}

/** What an LZF string of `packed` bytes can at most stand for; a little room for tiny blocks. */
export const lzfLengthMax = (packed: number): number => LZF_EXPANSION_MAX * packed + 264;

function* readPacked(
  cursor: ChunkCursor,
  max: number,
  out: GrowingBytes,
  offset: number,
): Steps<void> {
  const packed = yield* readLength(cursor, max);
  const plain = yield* readLength(cursor, max);
  if (plain > lzfLengthMax(packed)) {
    throw rdbFault(
      'TM_RDB_LIMIT',
      `decoded length ${plain} exceeds what ${packed} packed bytes can hold, ${lzfLengthMax(packed)}`,
      offset,
      { context: { length: plain, limit: lzfLengthMax(packed) } },
    );
  }
  const block = new GrowingBytes();
  yield* gather(cursor, packed, block);
  if (!decodeLzf(block.view(), { start: 0, end: packed }, plain, out)) {
    throw notDecodable(offset, packed, plain);
  }
}

/**
 * Appends a string, decoded, to `out`.
 * @throws FormatError `TM_RDB_LIMIT` above `max` bytes (inclusive), before anything is gathered;
 *   `TM_RDB_STRING` for a compressed string that does not decode.
 */
export function* readString(cursor: ChunkCursor, max: number, out: GrowingBytes): Steps<void> {
  const offset = cursor.offset;
  const first = yield* readByte(cursor);
  if (first >= 0xc0 && first <= 0xc2) {
    out.appendText(integerText(yield* readBytes(cursor, 1 << (first & 3))));
    return;
  }
  if (first === 0xc3) return yield* readPacked(cursor, max, out, offset);
  const wide = yield* readLengthAfter(cursor, first, offset);
  return yield* gather(cursor, toNumber(wide, max, offset), out);
}

function* passUnit(cursor: ChunkCursor, unit: Unit): Steps<void> {
  for (const field of unit) {
    if (field === STRING) yield* passString(cursor);
    else if (field === LENGTH) yield* readWideLength(cursor);
    else if (field > 0) yield* passBytes(cursor, field);
    else {
      const size = yield* readByte(cursor);
      if (size < 253) yield* passBytes(cursor, size);
    }
  }
}

/** Passes `count` units, those inside the chunk in one go. */
export function* passUnits(cursor: ChunkCursor, count: number, unit: Unit): Steps<void> {
  let left = count;
  while (left > 0) {
    const { bytes, end } = cursor;
    let at = cursor.at;
    while (left > 0) {
      const next = unitEnd(unit, bytes, at, end);
      if (next < 0) break;
      at = next;
      left -= 1;
    }
    cursor.at = at;
    if (left === 0) return;
    yield* passUnit(cursor, unit);
    left -= 1;
  }
}

/** Passes a value whose layout is plain. */
export function* passPlain(cursor: ChunkCursor, layout: Layout): Steps<void> {
  yield* passBytes(cursor, layout.head);
  const count = layout.counted ? yield* readLength(cursor) : 1;
  yield* passUnits(cursor, count, layout.unit);
}
