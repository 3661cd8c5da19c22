import { collectBytes, type ByteSource } from '@tidemark/core';
import {
  openRange,
  parseSealedHeader,
  sealBytes,
  type DataKey,
  type OpenRangeOptions,
} from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../support/crypto-ports.ts';
import { inChunks, patternBytes } from '../../support/pattern.ts';

const dataKey: DataKey = { id: '0f'.repeat(16), key: patternBytes(32, 5) };
const identity = { key: 'rdb/1' };
const CHUNK = 4096;
const plain = patternBytes(3 * CHUNK + 100);

function sealedOf(content: Buffer): Buffer {
  const random = seededRandom('range');
  return sealBytes(content, { dataKey, kind: 4, compression: 3, identity, random, chunkLog2: 12 })
    .bytes;
}

/** Options over an object in memory that note which sealed bytes are read. */
function rangeOf(
  sealed: Buffer,
  start: number,
  end: number,
  change: Partial<OpenRangeOptions> = {},
): { options: OpenRangeOptions; reads: [number, number][] } {
  const header = parseSealedHeader(sealed);
  if (typeof header === 'number') throw new Error('the header is whole');
  const reads: [number, number][] = [];
  const read = (from: number, to: number): ByteSource => {
    reads.push([from, to]);
    return inChunks(sealed.subarray(from, to), 1000);
  };
  const sealedSize = sealed.length;
  return { options: { read, header, dataKey, sealedSize, start, end, ...change }, reads };
}

const collect = (options: OpenRangeOptions): Promise<Buffer> =>
  collectBytes(openRange(options), 1e6, () => new Error('too much'));

describe('openRange()', () => {
  const sealed = sealedOf(plain);
  const headerLength = sealed.length - plain.length - 4 * 16;

  it('gives any range, edges of chunks among them', async () => {
    const edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, plain.length - 1];
    for (const start of edges) {
      for (const end of [...edges, plain.length].filter((edge) => edge >= start)) {
        const opened = await collect(rangeOf(sealed, start, end).options);
        expect(opened.equals(plain.subarray(start, end))).toBe(true);
      }
    }
  });

  it('reads no other chunks than it needs', async () => {
    const { options, reads } = rangeOf(sealed, CHUNK + 5, 2 * CHUNK);
    await collect(options);
    expect(reads).toEqual([[headerLength + 4112, headerLength + 2 * 4112]]);
    const empty = rangeOf(sealed, 7, 7);
    await collect(empty.options);
    expect(empty.reads).toEqual([]);
  });

  it('refuses damage in a touched chunk only, with its number', async () => {
    const damaged = Buffer.from(sealed);
    const at = headerLength + 4112 + 9;
    damaged[at] = (damaged[at] ?? 0) ^ 4;
    const error = { code: 'TM_SEAL_CHUNK', context: { chunk: 1, offset: headerLength + 4112 } };
    await expect(collect(rangeOf(damaged, 0, 2 * CHUNK).options)).rejects.toMatchObject(error);
    const untouched = await collect(rangeOf(damaged, 0, CHUNK).options);
    expect(untouched.equals(plain.subarray(0, CHUNK))).toBe(true);
  });

  it('checks that the last chunk is the short final one when it is touched', async () => {
    const grown = { sealedSize: sealed.length + 1 };
    const longer = Buffer.concat([sealed, Buffer.alloc(1)]);
    const last = rangeOf(longer, 3 * CHUNK, 3 * CHUNK + 1, grown).options;
    await expect(collect(last)).rejects.toMatchObject({ code: 'TM_SEAL_CHUNK' });
    const full = sealedOf(plain.subarray(0, 2 * CHUNK));
    const cut = full.subarray(0, full.length - 16);
    const range = rangeOf(cut, 0, 10).options;
    await expect(collect(range)).rejects.toMatchObject({ code: 'TM_SEAL_TRUNCATED' });
  });

  it('refuses a store that gives fewer or more bytes than asked for', async () => {
    const fewer = rangeOf(sealed, 0, CHUNK, {
      read: () => inChunks(sealed.subarray(200, 900), 99),
    });
    await expect(collect(fewer.options)).rejects.toMatchObject({ code: 'TM_SEAL_TRUNCATED' });
    const more = rangeOf(sealed, 0, CHUNK, {
      read: (from, to) => inChunks(sealed.subarray(from, to + 1), 99_999),
    });
    await expect(collect(more.options)).rejects.toMatchObject({ code: 'TM_SEAL_CHUNK' });
  });

  it('refuses a range past the end and one that is none', async () => {
    const past = rangeOf(sealed, 0, plain.length + 1).options;
    await expect(collect(past)).rejects.toMatchObject({
      code: 'TM_SEAL_TRUNCATED',
      context: { end: plain.length + 1, plainSize: plain.length },
    });
    for (const [start, end] of [
      [-1, 3],
      [5, 4],
      [0.5, 2],
      [0, NaN],
    ] as const) {
      const none = rangeOf(sealed, start, end).options;
      await expect(collect(none)).rejects.toMatchObject({ code: 'TM_USAGE' });
    }
  });

  it('proves commitment and, when told, identity before it reads', async () => {
    const wrongKey = rangeOf(sealed, 0, 1, {
      dataKey: { id: dataKey.id, key: patternBytes(32, 6) },
    });
    await expect(collect(wrongKey.options)).rejects.toMatchObject({ code: 'TM_SEAL_COMMITMENT' });
    const other = rangeOf(sealed, 0, 1, { expected: { kind: 4, identity: { key: 'rdb/2' } } });
    await expect(collect(other.options)).rejects.toMatchObject({ code: 'TM_SEAL_IDENTITY' });
    expect([...wrongKey.reads, ...other.reads]).toEqual([]);
    const right = rangeOf(sealed, 0, 1, { expected: { kind: 4, identity } });
    expect((await collect(right.options)).equals(plain.subarray(0, 1))).toBe(true);
  });
});
