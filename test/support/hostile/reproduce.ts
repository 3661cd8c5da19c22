import { gzipSync } from 'node:zlib';

/** Of a longer change so many bytes are told of either side. */
const SHOWN = 40;

const shown = (bytes: Buffer): string =>
  bytes.length === 0
    ? 'nothing'
    : `${bytes.toString('hex', 0, SHOWN)}${bytes.length > SHOWN ? `… (${bytes.length} bytes)` : ''}`;

/** Where a file was changed and how, in hex: from the first byte that differs to the last. */
export function changeBetween(good: Buffer, bad: Buffer): string {
  const shorter = Math.min(good.length, bad.length);
  let from = 0;
  while (from < shorter && good[from] === bad[from]) from += 1;
  let behind = 0;
  while (behind < shorter - from && good.at(-1 - behind) === bad.at(-1 - behind)) behind += 1;
  const before = good.subarray(from, good.length - behind);
  const after = bad.subarray(from, bad.length - behind);
  return before.length + after.length === 0
    ? 'no change'
    : `from offset ${from}, ${shown(before)} became ${shown(after)}`;
}

/** A command line that makes the file again, wherever the line is read. */
export const makeAgain = (bytes: Uint8Array): string =>
  `echo ${gzipSync(bytes).toString('base64')} | base64 -d | gunzip > input`;
