import { bytesOf, type ByteSource, collectBytes } from '@tidemark/core';
import { type RdbSummary, rewriteRdb, type RewriteRdbOptions } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { inChunks } from '../../support/pattern.ts';
import { keyMeta, len, lzfStr, RDB_VECTORS, RdbBuilder, str } from '../../support/rdb-builder.ts';
import { scanChunks } from '../../support/rdb-scan.ts';

interface Rewritten {
  readonly bytes: Buffer;
  readonly written: RdbSummary;
  readonly read: RdbSummary;
}

async function rewrite(
  source: Buffer | ByteSource,
  options: RewriteRdbOptions = {},
  size = 1_000_000,
): Promise<Rewritten> {
  const summaries: Pick<Rewritten, 'written' | 'read'>[] = [];
  const stream = Buffer.isBuffer(source) ? inChunks(source, size) : source;
  const output = rewriteRdb(stream, options, (written, read) => {
    summaries.push({ written, read });
  });
  const bytes = await collectBytes(output, 1e9, () => new Error('too much'));
  expect(summaries).toHaveLength(1);
  return { bytes, ...summaries[0]! };
}

/** The same result for a whole chunk, small ones and single bytes. */
async function rewriteAllWays(builder: RdbBuilder, options: RewriteRdbOptions): Promise<Rewritten> {
  const bytes = builder.build();
  const whole = await rewrite(bytes, options);
  for (const size of [17, 1]) {
    const again = await rewrite(bytes, options, size);
    expect(again.bytes.equals(whole.bytes)).toBe(true);
    expect(again.written).toEqual(whole.written);
  }
  const found = scanChunks([whole.bytes]);
  expect(found.summary.checksum).toBe('verified');
  expect(found.summary).toMatchObject({ ...whole.written, modules: found.summary.modules });
  return whole;
}

const mixed = (): RdbBuilder => {
  const builder = new RdbBuilder({ version: 12 })
    .aux('redis-ver', '7.4.0')
    .aux('redis-bits', '64')
    .aux('ctime', '1700000000')
    .aux('used-mem', '1000')
    .aux('repl-id', 'a'.repeat(40))
    .aux('repl-offset', '99')
    .aux('lua', 'return 1')
    .aux('cluster-asm-task', 'x'.repeat(3000))
    .aux('aof-base', '1')
    .moduleAux('vectorset')
    .function2('#!lua name=lib\nreturn 1')
    .selectDb(0)
    .resizeDb(3, 2)
    .slotInfo(1, 2, 3)
    .entry({ key: 'a', expiryMs: 1000 })
    .entry({ key: 'b', expirySeconds: 2, idle: 70 })
    .entry({ key: 'c', frequency: 9 })
    .selectDb(4)
    .resizeDb(1, 0)
    .string('d', 'x'.repeat(30_000))
    .selectDb(300)
    .resizeDb(1, 1);
  const key = 'packed'.padEnd(60, '0');
  return builder.entry({ key, keyBytes: lzfStr(key), expiryMs: 5 }).moduleAux('vectorset');
};

const facts = ['redis-ver', 'redis-bits', 'ctime', 'used-mem', 'aof-base'];

describe('rewriteRdb() without changes', () => {
  it('keeps entries, functions, module fields and facts; drops hints and positions', async () => {
    const { bytes, written, read } = await rewriteAllWays(mixed(), {});
    const expected = new RdbBuilder({ version: 12 })
      .aux('redis-ver', '7.4.0')
      .aux('redis-bits', '64')
      .aux('ctime', '1700000000')
      .aux('used-mem', '1000')
      .aux('aof-base', '1')
      .moduleAux('vectorset')
      .function2('#!lua name=lib\nreturn 1')
      .resizeDb(3, 2)
      .entry({ key: 'a', expiryMs: 1000 })
      .entry({ key: 'b', expirySeconds: 2, idle: 70 })
      .entry({ key: 'c', frequency: 9 })
      .selectDb(4)
      .resizeDb(1, 0)
      .string('d', 'x'.repeat(30_000))
      .selectDb(300)
      .resizeDb(1, 1);
    const key = 'packed'.padEnd(60, '0');
    expected.entry({ key, keyBytes: lzfStr(key), expiryMs: 5 }).moduleAux('vectorset');
    expect(bytes.equals(expected.build())).toBe(true);
    expect(Object.keys(written.aux)).toEqual(facts);
    expect(read.aux['repl-offset']).toBe('99');
    expect(written).toMatchObject({ keys: 5, expires: 3, functions: 1, maxDb: 300 });
  });

  it.each(['redis', 'valkey'] as const)('keeps every type of %s byte for byte', async (product) => {
    const builder = new RdbBuilder({ product });
    for (const { name, type, value } of RDB_VECTORS[product]) {
      builder.entry({ key: name, type, value });
    }
    const { bytes } = await rewriteAllWays(builder, {});
    expect(bytes.equals(builder.build())).toBe(true);
  });

  it('writes at least version 9, with a checksum the source lacked', async () => {
    const source = new RdbBuilder({ version: 3 }).selectDb(0).string('a', 'b');
    const { bytes } = await rewriteAllWays(source, {});
    expect(bytes.equals(new RdbBuilder({ version: 9 }).string('a', 'b').build())).toBe(true);
  });

  it('drops a slot import', async () => {
    const source = new RdbBuilder({ product: 'valkey' }).slotImport('job', [1, 2]).string('a', 'b');
    const { bytes } = await rewriteAllWays(source, {});
    expect(bytes.equals(new RdbBuilder({ product: 'valkey' }).string('a', 'b').build())).toBe(true);
  });

  it('of an empty RDB is empty', async () => {
    const { bytes } = await rewriteAllWays(new RdbBuilder({ version: 11 }), {});
    expect(bytes.equals(new RdbBuilder({ version: 11 }).build())).toBe(true);
  });
});

describe('keepKey', () => {
  it('is asked once per entry, and names a database only for a kept key', async () => {
    const asked: string[] = [];
    const keepKey = (db: number, key: Buffer, type: number): boolean => {
      asked.push(`${db}:${key.toString().slice(0, 6)}:${type}`);
      return db === 300 || key.toString() === 'b';
    };
    const source = mixed().build();
    const { bytes, written } = await rewrite(source, { keepKey, keepFunctions: false }, 5);
    expect(asked).toEqual(['0:a:0', '0:b:0', '0:c:0', '4:d:0', '300:packed:0']);
    const { entries, opcodes } = scanChunks([bytes]);
    expect(entries.map(({ db, key }) => `${db}:${key.toString().slice(0, 6)}`)).toEqual([
      '0:b',
      '300:packed',
    ]);
    expect(opcodes.map(({ opcode }) => opcode)).toEqual([
      ...[0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xf7, 0xfe, 0xf7],
    ]);
    expect(written).toMatchObject({ keys: 2, expires: 2, maxDb: 300, functions: 0, minVersion: 9 });
    expect(written.largestEntryBytes).toBeLessThan(100);
  });

  it('may leave nothing', async () => {
    const source = new RdbBuilder({ version: 11 }).selectDb(1).string('a', 'b').selectDb(2);
    const { bytes } = await rewriteAllWays(source.string('c', 'd'), { keepKey: () => false });
    expect(bytes.equals(new RdbBuilder({ version: 11 }).build())).toBe(true);
  });

  it('returns to database 0', async () => {
    const source = new RdbBuilder().selectDb(1).string('a', '1').selectDb(0).string('b', '2');
    const { bytes } = await rewriteAllWays(source, { keepKey: () => true });
    expect(bytes.equals(source.build())).toBe(true);
  });
});

describe('newExpiry', () => {
  it('moves, takes away and leaves expiries; seconds become milliseconds', async () => {
    const seen: string[] = [];
    const newExpiry = (expiryMs: number, db: number, key: Buffer): number | null => {
      seen.push(`${db}:${key.toString().slice(0, 6)}:${expiryMs}`);
      if (key.toString() === 'a') return null;
      return db === 300 ? 5 : expiryMs + 10_000;
    };
    const source = mixed().build();
    const { bytes, written, read } = await rewrite(source, { newExpiry }, 11);
    expect(seen).toEqual(['0:a:1000', '0:b:2000', '300:packed:5']);
    const { entries } = scanChunks([bytes]);
    expect(entries.map(({ expiryMs }) => expiryMs)).toEqual([null, 12_000, null, null, 5]);
    const b = entries[1]!;
    const entry = bytes.subarray(b.offset, b.offset + b.bytes);
    const expected = new RdbBuilder().entry({ key: 'b', expiryMs: 12_000, idle: 70 });
    expect(entry.equals(expected.build().subarray(9, 9 + b.bytes))).toBe(true);
    expect([written.expires, read.expires]).toEqual([2, 3]);
  });

  it('finds the expiry wherever it stands before the key', async () => {
    const source = new RdbBuilder().raw(Buffer.of(0xf8, 3, 0xf3), keyMeta());
    source.entry({ key: 'k', expirySeconds: 7 });
    const options = { newExpiry: (): number => 9, keepKeyMeta: false };
    const { bytes, written } = await rewriteAllWays(source, options);
    const expected = new RdbBuilder().raw(Buffer.of(0xf8, 3)).entry({ key: 'k', expiryMs: 9 });
    expect(bytes.equals(expected.build())).toBe(true);
    expect(written).toMatchObject({ keyMeta: 0, minVersion: 9 });
  });

  it('writes times long ago and far away', async () => {
    const times = [-1_700_000_000_123, -2, 0, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
    const source = new RdbBuilder();
    for (const [at] of times.entries()) source.entry({ key: String(at), expiryMs: 1 });
    const { bytes } = await rewrite(source.build(), {
      newExpiry: (_, __, key) => times[Number(key.toString())] ?? null,
    });
    expect(scanChunks([bytes]).entries.map(({ expiryMs }) => expiryMs)).toEqual(times);
  });

  it('refuses an answer that is no whole number', async () => {
    const bytes = mixed().build();
    const failing = rewrite(bytes, { newExpiry: () => 1.5 });
    await expect(failing).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});

describe('version', () => {
  it('is written as asked, in the magic of its product', async () => {
    const source = new RdbBuilder({ product: 'valkey' }).entry({
      key: 'k',
      type: 20,
      value: str('x'),
    });
    const { minVersion } = scanChunks([source.build()]).summary;
    const { bytes, written } = await rewriteAllWays(source, { version: minVersion });
    expect(bytes.subarray(0, 9).toString()).toBe('REDIS0011');
    expect(written).toMatchObject({ product: 'redis', version: 11, minVersion: 11 });
    const back = await rewrite(bytes, { version: 80 });
    expect(back.bytes.subarray(0, 9).toString()).toBe('VALKEY080');
  });

  it.each([
    [
      'expiries of fields for a server before Redis 7.4',
      new RdbBuilder().entry({ key: 'k', type: 24, value: Buffer.alloc(9) }),
      11,
      12,
    ],
    [
      'expiries of fields of Valkey 9 for a server before Redis 7.4',
      new RdbBuilder({ product: 'valkey' }).entry({ key: 'k', type: 22, value: len(0) }),
      ...[11, 80],
    ],
    ['functions', new RdbBuilder().function2('x'), 9, 10],
    ['metadata of keys', new RdbBuilder().entry({ key: 'k', keyMeta: keyMeta() }), 12, 13],
  ] as [string, RdbBuilder, number, number][])(
    'refuses %s',
    async (_, builder, version, needed) => {
      const context = { offset: 9, version, needed };
      const failing = rewrite(builder.build(), { version }, 3);
      await expect(failing).rejects.toMatchObject({ code: 'TM_RDB_REWRITE', context });
    },
  );

  it.each([0, 8, 16, 79, 82, 11.5, -1])(
    '%d is refused before the source is read',
    async (version) => {
      const failing = rewrite(bytesOf(), { version });
      await expect(failing).rejects.toMatchObject({ code: 'TM_USAGE' });
    },
  );
});

describe('a source that is not whole', () => {
  it('never gets an end that looks whole', async () => {
    const bytes = mixed().build();
    const damaged = Buffer.from(bytes);
    damaged[bytes.length - 20]! ^= 1;
    for (const source of [bytes.subarray(0, -1), bytes.subarray(0, 500), damaged]) {
      const out: Uint8Array[] = [];
      const run = async (): Promise<void> => {
        for await (const chunk of rewriteRdb(inChunks(source, 100), {})) out.push(chunk);
      };
      await expect(run()).rejects.toMatchObject({
        code: expect.stringMatching(/^TM_RDB_(TRUNCATED|CHECKSUM|OPCODE|LENGTH|TYPE)$/) as string,
      });
      expect(() => scanChunks(out)).toThrow();
    }
  });
});

describe('memory', () => {
  async function* huge(claimed: number, chunk: Buffer): ByteSource {
    const head = new RdbBuilder({ checksum: 'zero' }).selectDb(0).string('first', '1');
    head.entry({ key: 'huge', value: len(claimed), expiryMs: 5 });
    const tail = new RdbBuilder({ checksum: 'zero' }).string('last', '2');
    yield* bytesOf(head.build().subarray(0, head.offset));
    for (let at = 0; at < claimed; at += chunk.length) yield chunk;
    yield* bytesOf(tail.build().subarray(9));
  }

  it.each([true, false])('stays small while a value of 1 GB passes (kept: %s)', async (kept) => {
    const claimed = 1_000_000_000;
    const before = process.memoryUsage().arrayBuffers;
    let [bytes, peak] = [0, 0];
    const keepKey = (_: number, key: Buffer): boolean => kept || key.toString() !== 'huge';
    const options = { keepKey, newExpiry: () => 6 };
    for await (const chunk of rewriteRdb(huge(claimed, Buffer.alloc(500_000, 7)), options)) {
      bytes += chunk.length;
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }
    expect(bytes).toBe((kept ? claimed + 20 : 0) + 9 + 9 + 8 + 9);
    expect(peak - before).toBeLessThan(16_000_000);
  });

  it('is bounded for what stands before a key', async () => {
    async function* endless(): ByteSource {
      yield* bytesOf(new RdbBuilder().build().subarray(0, 9), Buffer.of(0xf3, 1, 0, 0, 0, 0, 5));
      yield* bytesOf(len(5_000_000_000));
      const chunk = Buffer.alloc(8_000_000);
      for (;;) yield await Promise.resolve(chunk);
    }
    await expect(rewrite(endless())).rejects.toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { offset: 9, limit: 528 * 1024 * 1024 },
    });
  });
});
