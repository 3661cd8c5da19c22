import { rdbFault } from '../scan/faults.ts';
import { int32Le } from '../scan/within.ts';

/** Total bytes (4, little endian) and number of entries (2; 65535: more than that). */
const LISTPACK_HEAD_BYTES = 6;
const END = 0xff;

/** Bytes of the back length of an entry of `length` bytes. */
function backLengthBytes(length: number): number {
  // As the source has it: the last three bounds are one lower than the bits allow.
  if (length < 128) return 1;
  if (length < 16_383) return 2;
  if (length < 2_097_151) return 3;
  return length < 268_435_455 ? 4 : 5;
}

/**
 * Walks the entries of a listpack.
 *
 * After `next` the entry is either a string, `textStart..textEnd`, or (with `textStart` -1) an integer.
 * Every length is held against the bytes that are there.
 * @see redis src/listpack.c
 */
export class ListpackReader {
  readonly bytes: Buffer;
  /** Entries by the header; null when it does not say. */
  readonly count: number | null;
  /** The entry as it stands, with its back length. */
  start = 0;
  end = LISTPACK_HEAD_BYTES;
  textStart = -1;
  textEnd = -1;
  integer: number | bigint = 0;
  readonly #offset: number;
  #left: number;

  /**
   * @param offset - Stream offset of the string that holds the listpack, for faults.
   * @throws FormatError `TM_RDB_VALUE`, as `next` does.
   */
  constructor(bytes: Buffer, offset: number) {
    this.bytes = bytes;
    this.#offset = offset;
    if (bytes.length <= LISTPACK_HEAD_BYTES) throw this.fault('is too short', 0);
    if (bytes.readUInt32LE(0) !== bytes.length) throw this.fault('does not have its length', 0);
    const count = bytes.readUInt16LE(4);
    this.count = count === 65_535 ? null : count;
    this.#left = count;
  }

  /** Goes to the next entry. Gives false at the end, which must be where header and bytes say. */
  next(): boolean {
    const { bytes, end: at } = this;
    const last = bytes.length - 1;
    if (at >= last) {
      if (at > last || bytes[at] !== END) throw this.fault('does not end where it should', at);
      if (this.count !== null && this.#left !== 0) throw this.fault('has other entries', at);
      return false;
    }
    const head = this.#readHead(at);
    if (head > last) throw this.fault('has an entry that is cut off', at);
    const end = head + backLengthBytes(head - at);
    if (end > last) throw this.fault('has an entry that is cut off', at);
    this.#checkBackLength(head, head - at);
    this.start = at;
    this.end = end;
    this.#left -= 1;
    return true;
  }

  /** The next entry, which must be there. */
  need(): this {
    if (!this.next()) throw this.fault('has too few entries', this.end);
    return this;
  }

  /** The entry as a string, as commands give it. */
  text(): Buffer {
    return this.textStart < 0
      ? Buffer.from(String(this.integer), 'latin1')
      : this.bytes.subarray(this.textStart, this.textEnd);
  }

  /** @param what - Follows "a listpack". */
  fault(what: string, at: number): Error {
    return rdbFault('TM_RDB_VALUE', `a listpack ${what}`, this.#offset, { context: { at } });
  }

  /** Reads encoding and content of the entry at `at`; gives the position after them. */
  #readHead(at: number): number {
    const { bytes } = this;
    const first = bytes[at] as number;
    this.textStart = -1;
    if (first < 0x80) {
      this.integer = first;
      return at + 1;
    }
    if (first < 0xc0) return this.#text(at + 1, first & 0x3f);
    // Of what stands after the first byte one or two are needed; the end byte is there at least.
    const second = bytes[at + 1] as number;
    if (first < 0xe0) {
      this.integer = ((((first & 0x1f) << 8) | second) << 19) >> 19;
      return at + 2;
    }
    if (first < 0xf0) return this.#text(at + 2, ((first & 0x0f) << 8) | second);
    return this.#readWide(at, first);
  }

  #readWide(at: number, first: number): number {
    const { bytes } = this;
    const width = first === 0xf4 ? 8 : first === 0xf3 ? 4 : first - 0xef;
    if (first > 0xf4) throw this.fault('has an entry of no known kind', at);
    if (first === 0xf0) {
      if (at + 5 >= bytes.length) throw this.fault('has an entry that is cut off', at);
      return this.#text(at + 5, bytes.readUInt32LE(at + 1));
    }
    const end = at + 1 + width;
    if (end >= bytes.length) throw this.fault('has an entry that is cut off', at);
    if (first === 0xf4) this.integer = bytes.readBigInt64LE(at + 1);
    else this.integer = first === 0xf3 ? int32Le(bytes, at + 1) : bytes.readIntLE(at + 1, width);
    return end;
  }

  #text(start: number, length: number): number {
    this.textStart = start;
    this.textEnd = start + length;
    return this.textEnd;
  }

  /** Seven bits a byte, the lowest last; all but the first have bit 7 set. */
  #checkBackLength(at: number, length: number): void {
    const count = backLengthBytes(length);
    let left = length;
    for (let byte = count - 1; byte >= 0; byte -= 1) {
      const expected = (left & 0x7f) | (byte > 0 ? 0x80 : 0);
      if (this.bytes[at + byte] !== expected) throw this.fault('has a wrong back length', at);
      left = Math.floor(left / 128);
    }
  }
}

/** An integer (0 to 2^53 - 1) as a listpack entry with its back length. */
export function encodeListpackInteger(value: number): Buffer {
  if (value < 128) return Buffer.of(value, 1);
  const bytes = Buffer.allocUnsafe(10);
  bytes[0] = 0xf4;
  bytes.writeBigInt64LE(BigInt(value), 1);
  bytes[9] = 9;
  return bytes;
}

/** A listpack of entries that are encoded already. */
export function buildListpack(parts: readonly Uint8Array[], count: number): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, LISTPACK_HEAD_BYTES + 1);
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt16LE(Math.min(count, 65_535), 4);
  let at = LISTPACK_HEAD_BYTES;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes[at] = END;
  return bytes;
}
