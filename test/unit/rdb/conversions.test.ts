import { bytesOf, collectBytes } from '@tidemark/core';
import { type RdbSummary, rewriteRdb, type RewriteRdbOptions } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { inChunks } from '../../support/pattern.ts';
import {
  double,
  int64,
  len,
  listpack,
  type ListpackItem,
  lzfStr,
  RDB_VECTORS,
  RdbBuilder,
  str,
  streamValue,
} from '../../support/rdb-builder.ts';
import { scanChunks } from '../../support/rdb-scan.ts';

type Product = 'redis' | 'valkey';

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const T = 1_700_000_000_000;

async function rewrite(bytes: Buffer, options: RewriteRdbOptions, size: number): Promise<Buffer> {
  const output = rewriteRdb(inChunks(bytes, size), options);
  return collectBytes(output, 1e9, () => new Error('too much'));
}

interface Value {
  readonly type: number;
  readonly value: Buffer;
}

/** A value of key "k" as it is after a rewrite: the same for every size of chunks. */
async function convert(
  product: Product,
  { type, value }: Value,
  options: RewriteRdbOptions,
): Promise<Value> {
  const before = { key: 'a', expiryMs: T, idle: 3 };
  const builder = new RdbBuilder({ product }).entry(before);
  builder.entry({ key: 'k', type, value, idle: 700 }).string('z', 'last');
  const whole = await rewrite(builder.build(), options, 1_000_000);
  for (const size of [1, 5, 13]) {
    expect((await rewrite(builder.build(), options, size)).equals(whole)).toBe(true);
  }
  const { entries } = scanChunks([whole]);
  expect(entries.map(({ key }) => key.toString())).toEqual(['a', 'k', 'z']);
  const [, k] = entries;
  // What stands before the value is as it was, but for the type.
  expect(whole.subarray(k!.offset, k!.valueOffset)).toEqual(
    cat(Buffer.of(0xf8), len(700), Buffer.of(k!.type), str('k')),
  );
  return { type: k!.type, value: whole.subarray(k!.valueOffset, k!.offset + k!.bytes) };
}

const hash2 = (...fields: readonly (readonly [string, string, number])[]): Value => ({
  type: 22,
  value: cat(len(fields.length), ...fields.map(([f, v, ms]) => cat(str(f), str(v), int64(ms)))),
});
/** Relative times as Redis writes them. */
const metadata = (
  min: number,
  ...fields: readonly (readonly [string, string, number])[]
): Value => ({
  type: 24,
  value: cat(
    ...[int64(min), len(fields.length)],
    ...fields.map(([f, v, ms]) => cat(len(ms === 0 ? 0 : ms - min + 1), str(f), str(v))),
  ),
});
const triples = (min: number, ...items: readonly ListpackItem[]): Value => ({
  type: 25,
  value: cat(int64(min), str(listpack(items))),
});
const long = 'long '.repeat(4000);

describe('expiries of fields between Redis and Valkey', () => {
  const fields = [
    ['f', 'v', T + 5],
    ['', long, 0],
    ['g', '', T],
  ] as const;

  it('HASH_METADATA becomes HASH_2', async () => {
    const expected = hash2(['f', 'v', T + 5], ['', long, -1], ['g', '', T]);
    expect(await convert('redis', metadata(T, ...fields), { version: 80 })).toEqual(expected);
  });

  it('HASH_2 becomes HASH_METADATA', async () => {
    const source = hash2(['f', 'v', T + 5], ['', long, -1], ['g', '', T]);
    expect(await convert('valkey', source, { version: 12 })).toEqual(metadata(1, ...fields));
  });

  it('HASH_LISTPACK_EX becomes HASH_2', async () => {
    const source = triples(T, 'f', 7, T, 'g', 'x'.repeat(5000), T + 9, -70_000, 'w', 0);
    expect(await convert('redis', source, { version: 80 })).toEqual(
      hash2(['f', '7', T], ['g', 'x'.repeat(5000), T + 9], ['-70000', 'w', -1]),
    );
  });

  it('a packed listpack is unpacked', async () => {
    const pack = listpack(['f', 'a'.repeat(900), T]);
    const source = { type: 25, value: cat(int64(T), lzfStr(pack)) };
    const expected = hash2(['f', 'a'.repeat(900), T]);
    expect(await convert('redis', source, { version: 80 })).toEqual(expected);
  });

  it('a field that died before 1970 is dead in Redis too', async () => {
    const source = hash2(['f', 'v', -5], ['g', 'w', 0]);
    expect(await convert('valkey', source, { version: 12 })).toEqual(
      metadata(1, ['f', 'v', 1], ['g', 'w', 1]),
    );
  });

  it('a time that Redis cannot hold is refused', async () => {
    const failing = convert('valkey', hash2(['f', 'v', 2 ** 48]), { version: 12 });
    await expect(failing).rejects.toMatchObject({ code: 'TM_RDB_REWRITE' });
  });

  it('HASH_LISTPACK_EX without an expiry becomes a hash for an older server', async () => {
    const source = triples(0, 'f', 'v', 0, 'g', 12, 0);
    const value = cat(len(2), str('f'), str('v'), str('g'), str('12'));
    expect(await convert('redis', source, { version: 9 })).toEqual({ type: 4, value });
    const failing = convert('redis', triples(T, 'f', 'v', T), { version: 9 });
    await expect(failing).rejects.toMatchObject({ code: 'TM_RDB_REWRITE' });
    const persist = { version: 9, newExpiry: () => null };
    expect(await convert('redis', triples(T, 'f', 'v', T), persist)).toMatchObject({ type: 4 });
  });
});

describe('new expiries of fields', () => {
  // What ends in 9 is taken away, the rest comes a day later.
  const newExpiry = (ms: number): number | null => (ms % 10 === 9 ? null : ms + 86_400_000);
  const day = T + 86_400_000;

  it('HASH_METADATA', async () => {
    const source = metadata(T, ['f', long, T + 1], ['g', 'v', T + 9], ['h', 'w', 0], ['i', '', T]);
    expect(await convert('redis', source, { newExpiry })).toEqual(
      metadata(1, ['f', long, day + 1], ['g', 'v', 0], ['h', 'w', 0], ['i', '', day]),
    );
  });

  it('HASH_LISTPACK_EX: the earliest first, none last', async () => {
    const source = triples(T, 'f', 'v', T, 'g', 8, T + 9, 'h', 'w', T + 20, 'i', 'x', 0);
    expect(await convert('redis', source, { newExpiry })).toEqual({
      type: 25,
      value: cat(
        int64(day),
        str(
          // Times are written in eight bytes, which is their shortest form, too.
          listpack(['f', 'v', day, 'h', 'w', day + 20, 'g', 8, 0, 'i', 'x', 0]),
        ),
      ),
    });
    const mirrored = { newExpiry: (ms: number): number => 2 * T - ms };
    expect(await convert('redis', triples(T, 'f', 1, T, 'g', 2, T + 9), mirrored)).toEqual(
      triples(T - 9, 'g', 2, T - 9, 'f', 1, T),
    );
    const none = { newExpiry: () => null };
    expect(await convert('redis', source, none)).toMatchObject({
      value: triples(0, 'f', 'v', 0, 'g', 8, 0, 'h', 'w', 0, 'i', 'x', 0).value,
    });
  });

  it('HASH_2, and a time beyond 2^53 stays as it is', async () => {
    const source = hash2(['f', long, T], ['g', 'v', T + 9], ['h', 'w', -1]);
    const far = cat(len(4), source.value.subarray(1), str('i'), str(''), int64(2n ** 62n + 1n));
    const moved = hash2(['f', long, day], ['g', 'v', -1], ['h', 'w', -1]);
    expect(await convert('valkey', { type: 22, value: far }, { newExpiry })).toEqual({
      type: 22,
      value: cat(len(4), moved.value.subarray(1), str('i'), str(''), int64(2n ** 62n + 1n)),
    });
  });

  it('while the form changes', async () => {
    const source = metadata(T, ['f', 'v', T + 1], ['g', 'v', T + 9]);
    expect(await convert('redis', source, { newExpiry, version: 80 })).toEqual(
      hash2(['f', 'v', day + 1], ['g', 'v', -1]),
    );
    expect(await convert('valkey', hash2(['f', 'v', T + 1]), { newExpiry, version: 12 })).toEqual(
      metadata(1, ['f', 'v', day + 1]),
    );
  });

  it('are asked for with database and key', async () => {
    const asked: string[] = [];
    const bytes = new RdbBuilder()
      .selectDb(7)
      .entry({ key: 'k', expiryMs: 1, ...metadata(T, ['f', 'v', T], ['g', 'w', 0]) })
      .build();
    const options: RewriteRdbOptions = {
      newExpiry: (ms, db, key) => {
        asked.push(`${db} ${key.toString()} ${ms}`);
        return ms;
      },
    };
    await rewrite(bytes, options, 4);
    expect(asked).toEqual(['7 k 1', `7 k ${T}`]);
  });

  it('must be whole numbers', async () => {
    const failing = convert('redis', metadata(T, ['f', 'v', T]), { newExpiry: () => 1.5 });
    await expect(failing).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});

describe('forms for an older server', () => {
  it('a hash and a set as listpack become plain', async () => {
    const items = ['f', 'x'.repeat(70), 3, -4096, 2n ** 62n, 8_388_607];
    const texts = ['f', 'x'.repeat(70), '3', '-4096', String(2n ** 62n), '8388607'];
    const value = str(listpack(items));
    expect(await convert('redis', { type: 16, value }, { version: 9 })).toEqual({
      type: 4,
      value: cat(len(3), ...texts.map((text) => str(text))),
    });
    expect(await convert('redis', { type: 20, value }, { version: 10 })).toEqual({
      type: 2,
      value: cat(len(6), ...texts.map((text) => str(text))),
    });
  });

  it('strings of every length pass', async () => {
    const lengths = [0, 1, 40, 41, 63, 64, 65, 999, 1000, 1001, 3998, 4001, 9000, 16_384];
    const around = [...lengths, ...lengths, ...Array.from({ length: 400 }, (_, at) => at % 90)];
    const texts = around.map((length, at) => `${at} `.padEnd(length, 'x'));
    const source = { type: 20, value: str(listpack(texts)) };
    expect(await convert('redis', source, { version: 9 })).toEqual({
      type: 2,
      value: cat(len(texts.length), ...texts.map((text) => str(text))),
    });
    const lone = { type: 20, value: str(listpack([-9_000_000_000_000_000_000n])) };
    const value = cat(len(1), str('-9000000000000000000'));
    expect(await convert('redis', lone, { version: 9 })).toEqual({ type: 2, value });
  });

  it('a sorted set as listpack becomes ZSET_2 with the same scores', async () => {
    const scores = ['-inf', -7, '0.1', '1e+300', 'inf', '-0', 2n ** 53n + 1n, 'nan'];
    const items = scores.slice(0, -1).flatMap((score, at) => [`m${at}`, score]);
    const numbers = [-Infinity, -7, 0.1, 1e300, Infinity, -0, 2 ** 53];
    const source = { type: 17, value: str(listpack(items)) };
    expect(await convert('redis', source, { version: 9 })).toEqual({
      type: 5,
      value: cat(len(7), ...numbers.map((score, at) => cat(str(`m${at}`), double(score)))),
    });
    const odd = { type: 17, value: str(listpack(['m', '0x1p3'])) };
    const failing = convert('redis', odd, { version: 9 });
    await expect(failing).rejects.toMatchObject({ code: 'TM_RDB_VALUE' });
  });

  it('a listpack of more entries than its header can say is counted', async () => {
    const items = Array.from({ length: 70_000 }, (_, at) => at);
    const bytes = new RdbBuilder()
      .entry({ key: 'k', type: 20, value: str(listpack(items)) })
      .build();
    const [entry] = scanChunks([await rewrite(bytes, { version: 9 }, 50_000)]).entries;
    expect(entry).toMatchObject({ type: 2, bytes: 2 + 1 + 5 + items.join('').length + 70_000 });
  });

  it('a list of listpacks becomes a list of ziplists, node by node', async () => {
    const items = ['a', 'b'.repeat(300), 'c', 12, -200, 40_000, 2n ** 40n];
    const source = cat(
      ...[len(3), len(2), str(listpack(items))],
      ...[len(1), str(long), len(1), lzfStr('p'.repeat(70))],
    );
    const zip = (last: number, count: number, ...entries: readonly Buffer[]): Buffer => {
      const head = Buffer.alloc(10);
      const body = cat(...entries, Buffer.of(0xff));
      head.writeUInt32LE(body.length + 10, 0);
      head.writeUInt32LE(last, 4);
      head.writeUInt16LE(count, 8);
      return str(cat(head, body));
    };
    const before = (length: number): Buffer => {
      const bytes = Buffer.alloc(5, 0xfe);
      bytes.writeUInt32LE(length, 1);
      return bytes;
    };
    const wide = Buffer.alloc(5, 0xd0);
    wide.writeInt32LE(40_000, 1);
    const first = zip(
      10 + 3 + 303 + 7 + 3 + 4 + 6,
      7,
      Buffer.from([0, 1, 0x61]),
      cat(Buffer.from([3, 0x41, 300 - 256]), Buffer.alloc(300, 'b')),
      cat(before(303), Buffer.from([1, 0x63])),
      Buffer.from([7, 0xfe, 12]),
      cat(Buffer.from([3, 0xc0]), Buffer.from([56, 255])),
      cat(Buffer.of(4), wide),
      cat(Buffer.of(6, 0xe0), int64(2n ** 40n)),
    );
    const lone = (text: string): Buffer => {
      const { length } = text;
      const head = length < 0x4000 ? Buffer.of(0x40 | (length >> 8), length & 0xff) : null;
      const large = Buffer.alloc(5, 0x80);
      large.writeUInt32BE(length, 1);
      return zip(10, 1, cat(Buffer.of(0), head ?? large, Buffer.from(text)));
    };
    expect(await convert('redis', { type: 18, value: source }, { version: 9 })).toEqual({
      type: 14,
      value: cat(len(3), first, lone(long), lone('p'.repeat(70))),
    });
  });

  it.each([
    [26, 13, 26],
    [26, 12, 21],
    [26, 80, 21],
    [26, 10, 19],
    [26, 9, 15],
    [21, 11, 21],
    [21, 10, 19],
    [21, 9, 15],
    [19, 9, 15],
  ] as const)('stream %i for readers of %i becomes %i', async (from, version, to) => {
    const source = { type: from, value: streamValue(from) };
    const expected = { type: to, value: streamValue(to) };
    expect(await convert('redis', source, { version })).toEqual(expected);
  });

  it('types that both know pass byte for byte', async () => {
    for (const { type, value } of RDB_VECTORS.valkey.filter((one) => one.type !== 22)) {
      expect(await convert('valkey', { type, value }, { version: 11 })).toEqual({ type, value });
    }
  });

  it('the summary tells what is written', async () => {
    const builder = new RdbBuilder().entry({ key: 'k', ...metadata(T, ['f', 'v', T]) });
    builder.entry({ key: 's', type: 26, value: streamValue(26) });
    const found: RdbSummary[] = [];
    const output = rewriteRdb(bytesOf(builder.build()), { version: 80 }, (written) => {
      found.push(written);
    });
    const bytes = await collectBytes(output, 1e6, () => new Error('too much'));
    expect(found[0]).toEqual(scanChunks([bytes]).summary);
    expect(found[0]).toMatchObject({ types: { 21: 1, 22: 1 }, minVersion: 80, fieldTtl: true });
  });
});
