import { int32Le } from '../scan/within.ts';
import { type ElementVisitor, PackedFault, type PackedRange } from './packed.ts';

const END = 0xff;
/** The count in the header when it did not fit. */
const COUNT_UNKNOWN = 254;

/**
 * Checks a whole zipmap (Redis before 2.6): count (1 byte), then for each pair the length of the
 * field, the field, the length of the value, a byte that says how many unused bytes follow the
 * value, the value; 0xFF ends it. A length is one byte, or 254 and 4 LE.
 *
 * @returns Its pairs.
 * @see redis src/zipmap.c, zipmapValidateIntegrity
 */
export function checkZipmap({ bytes, start, end }: PackedRange, visit: ElementVisitor): number {
  if (end - start < 2) throw new PackedFault('a zipmap that is too short', 0);
  if (bytes[end - 1] !== END) {
    throw new PackedFault('a zipmap that does not end with its end byte', end - start - 1);
  }
  let at = start + 1;
  let pairs = 0;
  while (bytes[at] !== END) {
    for (let part = 0; part < 2; part += 1) {
      const within = at - start;
      const head = (bytes[at] as number) < 254 ? 1 : 5;
      if (at + head > end - 1) throw overlong(within);
      const length = head === 1 ? (bytes[at] as number) : int32Le(bytes, at + 1) >>> 0;
      at += head + part;
      const unused = part === 0 ? 0 : (bytes[at - 1] as number);
      if (at + length + unused > end - 1) throw overlong(within);
      visit(2 * pairs + part, bytes, at, at + length, within);
      at += length + unused;
    }
    pairs += 1;
  }
  if (pairs === 0) throw new PackedFault('a zipmap without a pair', 0);
  const claimed = bytes[start] as number;
  if (claimed !== COUNT_UNKNOWN && claimed !== pairs) {
    throw new PackedFault(`${pairs} pairs where the header says ${claimed}`, 0);
  }
  return pairs;
}

const overlong = (within: number): PackedFault =>
  new PackedFault('an entry that reaches over the end of its zipmap', within);
