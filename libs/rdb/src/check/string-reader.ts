import { GrowingBytes } from '../format/growing-bytes.ts';
import { decodeLzf } from '../format/lzf.ts';
import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import { notDecodable } from '../scan/faults.ts';
import {
  gather,
  integerText,
  lzfLengthMax,
  passBytes,
  passString,
  readByte,
  readBytes,
  readLength,
  readPlainLength,
} from '../scan/steps.ts';
import { lengthEnd, lengthValue, stringEnd } from '../scan/within.ts';
import { LzfWalk } from './lzf-walk.ts';

/** Strings up to this size, packed and unpacked, are looked into; longer ones are passed. */
export const CONTENT_BYTES_MAX = 32 * 1024 * 1024;

const PACKED = 0xc3;

/** Reads the strings of values: their content, or only that they are whole. */
export class StringReader {
  /** Whether the last `read` gave the content: `bytes[start..end)`, valid until the next one. */
  known = false;
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  /** Decoded length of the last string that was read. */
  length = 0;
  /** Stream offset of the last string that was read. */
  offset = 0;
  /** Strings that were too long to look into. */
  passed = 0;
  readonly #content = new GrowingBytes();
  readonly #walk = new LzfWalk();

  /**
   * Reads a string that lies plain and whole in the chunk.
   * @returns Whether it was one; if not, `read` goes on from the same place.
   */
  readWithin(cursor: ChunkCursor): boolean {
    const { bytes, at, end } = cursor;
    if (at >= end || (bytes[at] as number) >= 0x80) return false;
    const next = stringEnd(bytes, at, end);
    if (next < 0) return false;
    this.offset = cursor.offset;
    this.known = true;
    this.bytes = bytes;
    this.start = at + ((bytes[at] as number) < 0x40 ? 1 : 2);
    this.end = next;
    this.length = next - this.start;
    cursor.at = next;
    return true;
  }

  /**
   * Reads a string of any kind.
   * @throws FormatError `TM_RDB_STRING` for a compressed one that does not decode.
   */
  *read(cursor: ChunkCursor): Steps<void> {
    this.offset = cursor.offset;
    const content = this.#content;
    content.clear();
    const first = yield* readByte(cursor);
    if (first >= 0xc0 && first <= 0xc2) {
      content.appendText(integerText(yield* readBytes(cursor, 1 << (first & 3))));
      this.length = content.length;
    } else if (first === PACKED) {
      if (!(yield* this.#readPacked(cursor))) return;
    } else {
      this.length = yield* readPlainLength(cursor, first, this.offset);
      if (this.length > CONTENT_BYTES_MAX) {
        this.#leave();
        return yield* passBytes(cursor, this.length);
      }
      yield* gather(cursor, this.length, content);
    }
    this.known = true;
    this.bytes = content.view();
    this.start = 0;
    this.end = content.length;
  }

  /**
   * Passes a string that is sound and lies whole in the chunk.
   * @returns Whether it was one; if not, `pass` goes on from the same place.
   */
  passWithin(cursor: ChunkCursor): boolean {
    const { bytes, at, end } = cursor;
    const next = stringEnd(bytes, at, end);
    if (next < 0) return false;
    if (bytes[at] === PACKED && !this.#decodes(bytes, at, next)) return false;
    cursor.at = next;
    return true;
  }

  /** Whether the compressed string `bytes[at..end)` gives what it claims. */
  #decodes(bytes: Uint8Array, at: number, end: number): boolean {
    const plainAt = lengthEnd(bytes, at + 1, end);
    const start = lengthEnd(bytes, plainAt, end);
    const walk = this.#walk;
    walk.begin(lengthValue(bytes, plainAt));
    walk.take(bytes, start, end);
    return walk.whole;
  }

  /** Passes a string of any kind and size; a compressed one must decode. */
  *pass(cursor: ChunkCursor): Steps<void> {
    if (this.passWithin(cursor)) return;
    const offset = cursor.offset;
    const first = yield* readByte(cursor);
    if (first === PACKED) {
      const packed = yield* readLength(cursor);
      const plain = yield* readLength(cursor);
      return yield* this.#passPacked(cursor, packed, plain, offset);
    }
    // The chunk began with this byte: `passString` must see it.
    cursor.at -= 1;
    yield* passString(cursor);
  }

  /** @returns Whether the content was read. */
  *#readPacked(cursor: ChunkCursor): Steps<boolean> {
    const { offset } = this;
    const packed = yield* readLength(cursor);
    const plain = yield* readLength(cursor);
    this.length = plain;
    if (packed > CONTENT_BYTES_MAX || plain > CONTENT_BYTES_MAX) {
      this.#leave();
      yield* this.#passPacked(cursor, packed, plain, offset);
      return false;
    }
    if (plain > lzfLengthMax(packed)) throw notDecodable(offset, packed, plain);
    const { bytes, at, end } = cursor;
    if (at + packed <= end) {
      cursor.at = at + packed;
      const range = { start: at, end: at + packed };
      if (!decodeLzf(bytes, range, plain, this.#content)) throw notDecodable(offset, packed, plain);
      return true;
    }
    const block = new GrowingBytes();
    yield* gather(cursor, packed, block);
    if (!decodeLzf(block.view(), { start: 0, end: packed }, plain, this.#content)) {
      throw notDecodable(offset, packed, plain);
    }
    return true;
  }

  *#passPacked(cursor: ChunkCursor, packed: number, plain: number, offset: number): Steps<void> {
    const walk = this.#walk;
    walk.begin(plain);
    for (let left = packed; left > 0;) {
      const here = Math.min(left, cursor.end - cursor.at);
      walk.take(cursor.bytes, cursor.at, cursor.at + here);
      cursor.at += here;
      left -= here;
      if (left > 0) yield;
    }
    if (!walk.whole) throw notDecodable(offset, packed, plain);
  }

  #leave(): void {
    this.known = false;
    this.passed += 1;
  }
}
