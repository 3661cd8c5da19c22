import { bytesOf, type ByteSource, collectBytes } from '@tidemark/core';
import { rewriteRdb, type RewriteRdbOptions } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { inChunks } from '../../support/pattern.ts';
import { int64, len, listpack, RdbBuilder, str } from '../../support/rdb-builder.ts';

type Product = 'redis' | 'valkey';

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const T = 1_700_000_000_000;

async function rewrite(bytes: Buffer, options: RewriteRdbOptions, size: number): Promise<Buffer> {
  const output = rewriteRdb(inChunks(bytes, size), options);
  return collectBytes(output, 1e9, () => new Error('too much'));
}

describe('a damaged value that is converted', () => {
  const good = listpack(['f', 'v', T]);
  const changed = (at: number, byte: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at < 0 ? good.length + at : at] = byte;
    return bytes;
  };
  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['a head alone', good.subarray(0, 6)],
    ['a wrong length', changed(0, 99)],
    ['too few entries', changed(4, 2)],
    ['too many entries', changed(4, 6)],
    ['entries that make no triples', listpack(['f', 'v', T, 'g'])],
    ['a string over the end', changed(6, 0xbf)],
    ['an entry of no kind', changed(6, 0xf7)],
    ['a wrong back length', changed(8, 3)],
    ['no end', changed(-1, 0)],
    ['an end too soon', changed(6, 0xff)],
    ['an expiry that is text', listpack(['f', 'v', 'soon'])],
    ['an expiry below zero', listpack(['f', 'v', -1])],
    ['a string that claims 4 GB', changed(6, 0xf0)],
  ])('ends typed: %s', async (_, pack) => {
    const value = cat(int64(T), str(pack));
    const head = 9 + 1 + 2 + 8; // up to the string
    const bytes = new RdbBuilder().entry({ key: 'k', type: 25, value }).build();
    for (const size of [bytes.length, 1]) {
      await expect(rewrite(bytes, { version: 80 }, size)).rejects.toMatchObject({
        code: 'TM_RDB_VALUE',
        context: { offset: head, db: 0, type: 25, entryOffset: 9 },
      });
    }
  });

  it('ends typed: a list node of no kind', async () => {
    const value = cat(len(1), len(3), str('x'));
    const bytes = new RdbBuilder().entry({ key: 'k', type: 18, value }).build();
    await expect(rewrite(bytes, { version: 9 }, 2)).rejects.toMatchObject({
      code: 'TM_RDB_VALUE',
      context: { offset: 13 },
    });
  });

  it('ends typed: a relative expiry beyond what Redis takes', async () => {
    const value = cat(int64(T), len(1), len(2 ** 52), str('f'), str('v'));
    const bytes = new RdbBuilder().entry({ key: 'k', type: 24, value }).build();
    await expect(rewrite(bytes, { version: 80 }, 2)).rejects.toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { offset: 21 },
    });
  });
});

it('an expiry that the target cannot hold is refused with the place of its key', async () => {
  const builder = new RdbBuilder({ version: 12 }).selectDb(5).string('a', 'b');
  const { offset } = builder;
  const value = cat(int64(T), str(listpack(['f', 'v', T])));
  const bytes = builder.entry({ key: 'k', type: 25, value }).build();
  for (const size of [bytes.length, 1]) {
    await expect(rewrite(bytes, { version: 11 }, size)).rejects.toMatchObject({
      code: 'TM_RDB_REWRITE',
      context: { db: 5, type: 25, entryOffset: offset },
    });
  }
});

describe('memory', () => {
  const FIELDS = 2500;
  const VALUE_BYTES = 100_000;

  /** A hash of 250 MB, in chunks that cut fields anywhere. */
  async function* huge(product: Product): ByteSource {
    const head = new RdbBuilder({ product, checksum: 'zero' });
    const start = product === 'redis' ? cat(int64(T), len(FIELDS)) : len(FIELDS);
    const before = product === 'redis' ? len(5) : Buffer.alloc(0);
    const after = product === 'redis' ? Buffer.alloc(0) : int64(T + 4);
    head.entry({ key: 'huge', type: product === 'redis' ? 24 : 22, value: start });
    const field = cat(before, str('name'), str(Buffer.alloc(VALUE_BYTES, 7)), after);
    yield* bytesOf(head.build().subarray(0, head.offset));
    for (let at = 0; at < FIELDS; at += 1) {
      yield await Promise.resolve(field.subarray(0, (at * 37) % field.length));
      yield field.subarray((at * 37) % field.length);
    }
    yield* bytesOf(cat(Buffer.of(0xff), Buffer.alloc(8)));
  }

  it.each([
    ['redis', 80],
    ['valkey', 12],
    ['redis', 12],
    ['valkey', 80],
  ] as const)('stays small while a hash of %s of 250 MB goes to %i', async (product, version) => {
    const before = process.memoryUsage().arrayBuffers;
    let [bytes, peak] = [0, 0];
    const options = { version, newExpiry: (ms: number) => ms + 1 };
    for await (const chunk of rewriteRdb(huge(product), options)) {
      bytes += chunk.length;
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }
    expect(bytes).toBeGreaterThan(FIELDS * VALUE_BYTES);
    // Much of it waits for the collector; a value that is gathered takes more than 250 MB.
    expect(peak - before).toBeLessThan(200_000_000);
  });

  it('is bounded for one field and its value where both must be held', async () => {
    const head = new RdbBuilder({ product: 'valkey' });
    head.entry({ key: 'k', type: 22, value: cat(len(1), str('f'), len(5_000_000_000)) });
    const failing = rewrite(head.build().subarray(0, head.offset), { version: 12 }, 3);
    await expect(failing).rejects.toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { limit: 512 * 1024 * 1024, length: 5_000_000_000n },
    });
  });
});
