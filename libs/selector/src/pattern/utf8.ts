import { byteRange, type ByteSet } from './program.ts';

/** Inclusive range of code points. */
export type CodeRange = readonly [first: number, last: number];

export const CODE_POINT_MAX = 0x10ffff;
const SURROGATES: CodeRange = [0xd800, 0xdfff];
/** Last code point of each length of UTF-8 (RFC 3629, section 3). */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, CODE_POINT_MAX] as const;

/** Code points that are not in the ranges; surrogates are in neither, for UTF-8 has none. */
export function complementOf(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const sorted = [...ranges, SURROGATES].sort((a, b) => a[0] - b[0]);
  const rest: CodeRange[] = [];
  let next = 0;
  for (const [first, last] of sorted) {
    if (first > next) rest.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= CODE_POINT_MAX) rest.push([next, CODE_POINT_MAX]);
  return rest;
}

/** The UTF-8 forms of a range of code points as sequences of byte sets (surrogates left out). */
export function utf8Paths(range: CodeRange): readonly (readonly ByteSet[])[] {
  const paths: (readonly ByteSet[])[] = [];
  let [first] = range;
  for (const [at, lengthEnd] of LENGTH_ENDS.entries()) {
    if (first > lengthEnd) continue;
    const last = Math.min(range[1], lengthEnd);
    if (first <= last) addPaths(first, last, at, paths);
    first = lengthEnd + 1;
  }
  return paths;
}

/** Splits a range of code points with `tail` continuation bytes until every byte varies freely. */
function addPaths(first: number, last: number, tail: number, paths: (readonly ByteSet[])[]): void {
  if (tail === 2 && first <= SURROGATES[1] && last >= SURROGATES[0]) {
    if (first < SURROGATES[0]) addPaths(first, SURROGATES[0] - 1, tail, paths);
    if (last > SURROGATES[1]) addPaths(SURROGATES[1] + 1, last, tail, paths);
    return;
  }
  for (let low = 1; low <= tail; low += 1) {
    const mask = (1 << (6 * low)) - 1;
    if ((first & ~mask) === (last & ~mask)) continue;
    if ((first & mask) !== 0) {
      addPaths(first, first | mask, tail, paths);
      addPaths((first | mask) + 1, last, tail, paths);
      return;
    }
    if ((last & mask) !== mask) {
      addPaths(first, (last & ~mask) - 1, tail, paths);
      addPaths(last & ~mask, last, tail, paths);
      return;
    }
  }
  const from = Buffer.from(String.fromCodePoint(first));
  const to = Buffer.from(String.fromCodePoint(last));
  paths.push(Array.from(from, (byte, at) => byteRange(byte, to[at] as number)));
}

/** Whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms). */
export function isUtf8(data: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = data[at] as number;
    at += 1;
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const tail = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (at + tail > end) return false;
    const second = data[at] as number;
    const from = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const to = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    if (second < from || second > to) return false;
    for (let next = at + 1; next < at + tail; next += 1) {
      if (((data[next] as number) & 0xc0) !== 0x80) return false;
    }
    at += tail;
  }
  return true;
}
