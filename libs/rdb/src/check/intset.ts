import { int32Le } from '../scan/within.ts';
import { PackedFault, type PackedRange, uint16Le } from './packed.ts';

const HEADER_BYTES = 8;

/**
 * Checks an intset: width (4 LE: 2, 4 or 8), count (4 LE), integers of that width, ascending.
 * @returns Its members, at least one.
 * @see redis src/intset.c, intsetValidateIntegrity
 */
export function checkIntset({ bytes, start, end }: PackedRange): number {
  const size = end - start;
  if (size < HEADER_BYTES) throw new PackedFault('an intset that is too short', 0);
  const width = int32Le(bytes, start);
  if (width !== 2 && width !== 4 && width !== 8) {
    throw new PackedFault(`an intset of integers of ${width >>> 0} bytes`, 0);
  }
  const count = int32Le(bytes, start + 4) >>> 0;
  if (count === 0) throw new PackedFault('an intset without a member', 4);
  if (HEADER_BYTES + count * width !== size) {
    throw new PackedFault(`an intset of ${size} bytes that claims ${count} members`, 4);
  }
  let at = start + HEADER_BYTES;
  let [highBefore, lowBefore] = halves(bytes, at, width);
  for (at += width; at < end; at += width) {
    const [high, low] = halves(bytes, at, width);
    if (high < highBefore || (high === highBefore && low <= lowBefore)) {
      throw new PackedFault('an intset whose members do not ascend', at - start);
    }
    [highBefore, lowBefore] = [high, low];
  }
  return count;
}

/** An integer as a pair that compares as it does. */
function halves(bytes: Uint8Array, at: number, width: number): readonly [number, number] {
  if (width === 2) return [(uint16Le(bytes, at) << 16) >> 16, 0];
  if (width === 4) return [int32Le(bytes, at), 0];
  return [int32Le(bytes, at + 4), int32Le(bytes, at) >>> 0];
}
