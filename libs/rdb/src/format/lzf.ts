import type { GrowingBytes } from './growing-bytes.ts';

/**
 * Appends the decoded form of an LZF block to `out`.
 *
 * A control byte below 32 starts a run of that many literals plus one; any other holds a length in
 * its upper three bits (7 = one more byte follows) and, with the next byte, a distance back.
 * @param length - Decoded length that the file claims; the caller has held it against the input.
 * @returns Whether the block is well formed and gives exactly that many bytes.
 * @see liblzf lzf_d.c for the format
 */
export function decodeLzf(
  bytes: Uint8Array,
  range: { readonly start: number; readonly end: number },
  length: number,
  out: GrowingBytes,
): boolean {
  const { end } = range;
  const first = out.length;
  const target = out.reserve(length);
  const stop = first + length;
  let from = range.start;
  let to = first;
  while (from < end) {
    const control = bytes[from] as number;
    from += 1;
    if (control < 32) {
      const run = control + 1;
      if (from + run > end || to + run > stop) return false;
      for (let at = 0; at < run; at += 1) target[to + at] = bytes[from + at] as number;
      from += run;
      to += run;
      continue;
    }
    let copy = (control >> 5) + 2;
    if (copy === 9) {
      if (from >= end) return false;
      copy += bytes[from] as number;
      from += 1;
    }
    if (from >= end) return false;
    const back = to - (((control & 0x1f) << 8) | (bytes[from] as number)) - 1;
    from += 1;
    if (back < first || to + copy > stop) return false;
    // Byte by byte: source and target may overlap, which is how runs are written.
    for (let at = 0; at < copy; at += 1) target[to + at] = target[back + at] as number;
    to += copy;
  }
  if (to !== stop) return false;
  out.length = stop;
  return true;
}
