import { int32Le } from '../scan/within.ts';
import {
  type ElementVisitor,
  exactInt64Le,
  int24Le,
  PackedFault,
  type PackedRange,
  uint16Le,
  visitInteger,
} from './packed.ts';

/** Bytes before the first element of a listpack. */
export const HEADER_BYTES = 6;
const END = 0xff;
/** The count in the header when it did not fit. */
const COUNT_UNKNOWN = 0xffff;

/**
 * Goes through a listpack element by element and checks all that its own form says.
 *
 *     listpack = total(4 LE) count(2 LE) *element 0xFF
 *     element  = encoding [content] length-of-both, backwards in groups of 7 bits
 *
 * @see redis src/listpack.c, lpValidateIntegrity
 */
export class ListpackWalk {
  readonly bytes: Uint8Array;
  /** First byte of the listpack. */
  readonly start: number;
  /** Position of the element under work; at the end of the listpack `last`. */
  at: number;
  /** Elements passed. */
  passed = 0;
  /** Content of the element under work, when it is a string. */
  contentStart = 0;
  contentEnd = 0;
  /** Its value, when it is an integer. */
  integer: number | bigint | null = null;
  /** Elements by the header; -1 when it does not say. */
  readonly count: number;
  /** Position of the byte that ends the listpack. */
  readonly #last: number;
  #next = 0;

  constructor({ bytes, start, end }: PackedRange) {
    this.bytes = bytes;
    this.start = start;
    this.#last = end - 1;
    const size = end - start;
    if (size < HEADER_BYTES + 1) throw new PackedFault('a listpack that is too short', 0);
    if (int32Le(bytes, start) >>> 0 !== size) {
      throw new PackedFault('a listpack whose size is not the one in its header', 0);
    }
    if (bytes[this.#last] !== END) {
      throw new PackedFault('a listpack that does not end with its end byte', size - 1);
    }
    const count = uint16Le(bytes, start + 4);
    this.count = count === COUNT_UNKNOWN ? -1 : count;
    this.at = start + HEADER_BYTES;
  }

  /** Position of the element under work inside the listpack. */
  get within(): number {
    return this.at - this.start;
  }

  /** Whether there is an element at `at`; reads it, but not the integer or content behind it. */
  read(): boolean {
    const { bytes, at } = this;
    const last = this.#last;
    if (bytes[at] === END) {
      if (at !== last) throw new PackedFault('a listpack that ends early', this.within);
      return false;
    }
    const head = headBytes(bytes[at] as number);
    if (head === 0) throw new PackedFault('an element of no known encoding', this.within);
    if (at + head > last) throw this.#overlong();
    const size = this.#element(bytes[at] as number);
    const back = backBytes(size);
    if (at + size + back > last) throw this.#overlong();
    this.#next = at + size + back;
    if (backLength(bytes, this.#next - 1) !== size) {
      throw new PackedFault('an element whose length at its end is another', this.within);
    }
    return true;
  }

  /** Goes to the next element. */
  pass(): void {
    this.at = this.#next;
    this.passed += 1;
  }

  /** Checks, after the last element, that the header told how many there are. */
  finish(): void {
    if (this.count >= 0 && this.count !== this.passed) {
      throw new PackedFault(`${this.passed} elements where the header says ${this.count}`, 4);
    }
  }

  /** Hands the element under work to a visitor, as text. */
  visit(visit: ElementVisitor): void {
    if (this.integer !== null) visitInteger(visit, this.passed, this.integer, this.within);
    else visit(this.passed, this.bytes, this.contentStart, this.contentEnd, this.within);
  }

  #overlong(): PackedFault {
    return new PackedFault('an element that reaches over the end of its listpack', this.within);
  }

  /** Reads the encoding. @returns Bytes of encoding and content. */
  #element(first: number): number {
    const { bytes, at } = this;
    if (first < 0x80) return this.#number(first, 1);
    if (first < 0xc0) return this.#string(1, first & 0x3f);
    if (first < 0xe0) {
      const value = ((first & 0x1f) << 8) | (bytes[at + 1] as number);
      return this.#number(value >= 4096 ? value - 8192 : value, 2);
    }
    if (first < 0xf0) return this.#string(2, ((first & 0x0f) << 8) | (bytes[at + 1] as number));
    if (first === 0xf0) return this.#string(5, int32Le(bytes, at + 1) >>> 0);
    const size = INTEGER_BYTES[first - 0xf1] as number;
    if (at + size > this.#last) throw this.#overlong();
    if (first === 0xf1) return this.#number((uint16Le(bytes, at + 1) << 16) >> 16, size);
    if (first === 0xf2) return this.#number(int24Le(bytes, at + 1), size);
    if (first === 0xf3) return this.#number(int32Le(bytes, at + 1), size);
    return this.#number(exactInt64Le(bytes, at + 1), size);
  }

  #number(value: number | bigint, size: number): number {
    this.integer = value;
    return size;
  }

  #string(head: number, length: number): number {
    this.integer = null;
    this.contentStart = this.at + head;
    this.contentEnd = this.contentStart + length;
    return head + length;
  }
}

/** Bytes of an element of 16, 24, 32 and 64 bits, encoding included. */
const INTEGER_BYTES = [3, 4, 5, 9];

/** Bytes of the encoding that tell the length of the rest; 0 for a byte that is no encoding. */
function headBytes(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xf0) return 2;
  if (first === 0xf0) return 5;
  return first <= 0xf4 ? 1 : 0;
}

/** Bytes that the length at the end of an element takes. */
function backBytes(size: number): number {
  if (size <= 127) return 1;
  if (size < 16_383) return 2;
  if (size < 2_097_151) return 3;
  return size < 268_435_455 ? 4 : 5;
}

/** The length that is written backwards up to `at`, or -1. */
function backLength(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let group = 0; group < 5; group += 1) {
    const byte = bytes[at - group] as number;
    value += (byte & 0x7f) * 2 ** (7 * group);
    if (byte < 0x80) return value;
  }
  return -1;
}

/**
 * Checks a whole listpack.
 * @returns Its elements.
 */
export function checkListpack(range: PackedRange, visit?: ElementVisitor): number {
  const walk = new ListpackWalk(range);
  while (walk.read()) {
    if (visit !== undefined) walk.visit(visit);
    walk.pass();
  }
  walk.finish();
  return walk.passed;
}
