import { int32Le, uint32Be } from '../scan/within.ts';
import {
  type ElementVisitor,
  exactInt64Le,
  int24Le,
  PackedFault,
  type PackedRange,
  uint16Le,
  visitInteger,
} from './packed.ts';

const HEADER_BYTES = 10;
const END = 0xff;
const COUNT_UNKNOWN = 0xffff;

/**
 * Checks a whole ziplist (Redis before 7.0).
 *
 *     ziplist = total(4 LE) tail(4 LE) count(2 LE) *entry 0xFF
 *     entry   = size of the entry before (1 byte, or 254 and 4 LE), encoding, content
 *
 * @returns Its entries.
 * @see redis src/ziplist.c, ziplistValidateIntegrity
 */
export function checkZiplist(range: PackedRange, visit: ElementVisitor): number {
  const { bytes, start, end } = range;
  const size = end - start;
  const last = end - 1;
  if (size < HEADER_BYTES + 1) throw new PackedFault('a ziplist that is too short', 0);
  if (int32Le(bytes, start) >>> 0 !== size) {
    throw new PackedFault('a ziplist whose size is not the one in its header', 0);
  }
  if (bytes[last] !== END) {
    throw new PackedFault('a ziplist that does not end with its end byte', size - 1);
  }
  let at = start + HEADER_BYTES;
  let before = -1;
  let count = 0;
  let sizeBefore = 0;
  while (bytes[at] !== END) {
    const head = (bytes[at] as number) < 254 ? 1 : 5;
    if (at + head > last) throw overlong(at - start);
    const said = head === 1 ? (bytes[at] as number) : int32Le(bytes, at + 1) >>> 0;
    const next = visitEntry(range, at + head, count, visit);
    if (said !== sizeBefore) {
      throw new PackedFault('an entry that gives another size for the one before', at - start);
    }
    sizeBefore = next - at;
    before = at;
    at = next;
    count += 1;
  }
  if (at !== last) throw new PackedFault('a ziplist that ends early', at - start);
  const tail = int32Le(bytes, start + 4) >>> 0;
  if (before >= 0 ? tail !== before - start : tail > size - 1) {
    throw new PackedFault('a ziplist whose header does not point to its last entry', 4);
  }
  const claimed = uint16Le(bytes, start + 8);
  if (claimed !== COUNT_UNKNOWN && claimed !== count) {
    throw new PackedFault(`${count} entries where the header says ${claimed}`, 8);
  }
  return count;
}

const overlong = (within: number): PackedFault =>
  new PackedFault('an entry that reaches over the end of its ziplist', within);

/** Reads encoding and content at `at`. @returns Position of the next entry. */
function visitEntry(
  { bytes, start, end }: PackedRange,
  at: number,
  index: number,
  visit: ElementVisitor,
): number {
  const last = end - 1;
  const first = bytes[at] as number;
  if (first < 0xc0) {
    const head = first < 0x40 ? 1 : first < 0x80 ? 2 : 5;
    if (at + head > last) throw overlong(at - start);
    let length = first & 0x3f;
    if (head === 2) length = (length << 8) | (bytes[at + 1] as number);
    else if (head === 5) length = uint32Be(bytes, at + 1);
    const next = at + head + length;
    if (next > last) throw overlong(at - start);
    visit(index, bytes, at + head, next, at - start);
    return next;
  }
  const size = integerBytes(first);
  if (size < 0) throw new PackedFault('an entry of no known encoding', at - start);
  if (at + 1 + size > last) throw overlong(at - start);
  visitInteger(visit, index, integerAt(bytes, at), at - start);
  return at + 1 + size;
}

/** Bytes after an integer's encoding; -1 for a byte that is no encoding. */
function integerBytes(first: number): number {
  if (first === 0xc0) return 2;
  if (first === 0xd0) return 4;
  if (first === 0xe0) return 8;
  if (first === 0xf0) return 3;
  if (first === 0xfe) return 1;
  return first > 0xf0 && first < 0xfe ? 0 : -1;
}

function integerAt(bytes: Uint8Array, at: number): number | bigint {
  const first = bytes[at] as number;
  if (first === 0xc0) return (uint16Le(bytes, at + 1) << 16) >> 16;
  if (first === 0xd0) return int32Le(bytes, at + 1);
  if (first === 0xe0) return exactInt64Le(bytes, at + 1);
  if (first === 0xf0) return int24Le(bytes, at + 1);
  if (first === 0xfe) return ((bytes[at + 1] as number) << 24) >> 24;
  return (first & 0x0f) - 1;
}
