import { Crc64 } from '@tidemark/core';
import { RdbScanner } from '@tidemark/rdb';
import { type EntryParts, len, RdbBuilder, str } from '../support/rdb-builder.ts';
import { chunksOf, touch } from './setup/byte-loop.ts';
import { median } from './setup/process-facts.ts';

const KEYS = 2_000_000;
const PART_KEYS = 10_000;
const ROUNDS = 7;

/** Mostly short strings, a fifth of all keys with an expiry; one key in fifty is a collection. */
function entry(at: number): EntryParts {
  const key = `key:0000${String(at).padStart(8, '0')}`;
  const text = str('v'.repeat(40 + ((at * 7) % 48)));
  const expiry = at % 5 === 0 ? { expiryMs: 1_800_000_000_000 + at } : {};
  if (at % 50 !== 7) return { key, value: text, ...expiry };
  const hash = Buffer.concat([len(3), ...Array.from({ length: 6 }, () => text)]);
  return {
    key,
    ...expiry,
    ...(at % 100 === 7 ? { type: 4, value: hash } : { type: 16, value: text }),
  };
}

/** Bytes before the number in a key: type, length, "key:". */
const NUMBER_AT = 6;

/**
 * An RDB of two million keys in chunks: the entries of one part, again and again with other numbers
 * in their keys, and the right checksum.
 */
function buildChunks(): { chunks: Buffer[]; bytes: number } {
  const head = new RdbBuilder({ version: 11 }).selectDb(0).resizeDb(KEYS, KEYS / 5);
  const part = new RdbBuilder({ version: 11 });
  for (let at = 0; at < PART_KEYS; at += 1) part.entry(entry(at));
  const entries = part.build().subarray(9, part.offset);
  const parts = [head.build().subarray(0, head.offset)];
  for (let at = 0; at < KEYS / PART_KEYS; at += 1) {
    const copy = Buffer.from(entries);
    for (const { offset, expiryMs } of part.entries) {
      const number = offset - 9 + (expiryMs === null ? 0 : 9) + NUMBER_AT;
      copy.write(String(at).padStart(4, '0'), number, 'latin1');
    }
    parts.push(copy);
  }
  parts.push(Buffer.of(0xff));
  const crc = new Crc64();
  for (const bytes of parts) crc.update(bytes);
  const all = Buffer.concat([...parts, crc.digestBytes()]);
  return { chunks: chunksOf(all), bytes: all.length };
}

/** Scans all and says how many keys there are; the checksum must hold. */
function scan(chunks: readonly Buffer[]): number {
  let rows = 0;
  const scanner = new RdbScanner((batch) => {
    rows += batch.count;
  });
  for (const chunk of chunks) scanner.push(chunk);
  const { keys, checksum } = scanner.end();
  if (keys !== KEYS || checksum !== 'verified' || rows < keys) throw new Error('the scan is wrong');
  return keys;
}

/**
 * Speed of `RdbScanner`, checksum included, over that of a bare loop that touches every byte of the
 * same buffers: interleaved rounds over two million keys, medians.
 */
export async function benchRdbScan(): Promise<{ ratio: number; of: string; detail: string }> {
  const { chunks, bytes } = await Promise.resolve(buildChunks());
  const touchMs: number[] = [];
  const scanMs: number[] = [];
  let sum = touch(chunks) + scan(chunks); // both compiled before the first round
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    sum += touch(chunks);
    const middle = performance.now();
    sum += scan(chunks);
    scanMs.push(performance.now() - middle);
    touchMs.push(middle - start);
  }
  const rate = (ms: number): string => (bytes / 1e6 / (ms / 1000)).toFixed(0);
  const per = ((median(scanMs) * 1e6) / KEYS).toFixed(0);
  return {
    ratio: median(touchMs) / median(scanMs),
    of: 'a bare loop over every byte of the same buffers',
    detail:
      `${KEYS} keys in ${(bytes / 1e6).toFixed(0)} MB: ${rate(median(scanMs))} MB/s ` +
      `(${per} ns per key), bare loop ${rate(median(touchMs))} MB/s (sum ${sum})`,
  };
}
