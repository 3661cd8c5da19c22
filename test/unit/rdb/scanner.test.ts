import { existsSync, readFileSync } from 'node:fs';
import { RdbScanner } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { intStr, len, lzfStr, RdbBuilder, str } from '../../support/rdb-builder.ts';
import { cut, scanChunks, scanFault } from '../../support/rdb-scan.ts';

const small = (): RdbBuilder =>
  new RdbBuilder({ version: 11 })
    .aux('redis-ver', '7.2.0')
    .selectDb(0)
    .resizeDb(2, 1)
    .string('one', '1')
    .entry({ key: 'two', expiryMs: 1_700_000_000_123 });

describe('keys', () => {
  it.each([
    ['empty', '', undefined],
    ['binary', Buffer.from([0, 255, 0x0a, 0xfe, 0xff]), undefined],
    ['100 bytes', 'k'.repeat(100), undefined],
    ['20,000 bytes', 'k'.repeat(20_000), undefined],
    ['long length form', 'key', str('key', '64')],
    ['32-bit length form', 'key', str('key', '32')],
    ['int8', '-128', intStr(-128)],
    ['int16', '-32768', intStr(-32768)],
    ['int16 above a byte', '300', intStr(300)],
    ['int32', '-2147483648', intStr(-2147483648)],
    ['int32 positive', '2147483647', intStr(2147483647)],
    ['packed', `user:${'0'.repeat(60)}17`, lzfStr(`user:${'0'.repeat(60)}17`)],
    ['packed, long runs', 'r'.repeat(3000), lzfStr('r'.repeat(3000))],
  ])('%s: gives the decoded bytes whatever the chunks', (_, key, keyBytes) => {
    const builder = new RdbBuilder().selectDb(0).string('before', '1');
    builder.entry({ key, ...(keyBytes === undefined ? {} : { keyBytes }) }).string('after', '2');
    const bytes = builder.build();
    for (const size of [bytes.length, 64, 1]) {
      expect(scanChunks(cut(bytes, size)).entries).toEqual(builder.entries);
    }
  });

  it('refuses a key over 512 MiB at its first byte and gathers nothing', () => {
    const builder = new RdbBuilder().selectDb(0);
    const offset = builder.offset + 1;
    const claim = len(512 * 1024 * 1024 + 1);
    const bytes = builder.entry({ key: '', keyBytes: claim }).build();
    expect(scanFault(bytes)).toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { offset, length: 536870913n, limit: 536870912 },
    });
  });

  it('allocates by what came, not by what a key claims', () => {
    const bytes = new RdbBuilder()
      .selectDb(0)
      .entry({ key: '', keyBytes: len(512 * 1024 * 1024) })
      .build();
    const before = process.memoryUsage().arrayBuffers;
    expect(scanFault(bytes)).toMatchObject({ code: 'TM_RDB_TRUNCATED' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });

  it('refuses a packed key that claims more than packing can give', () => {
    const builder = new RdbBuilder().selectDb(0);
    const offset = builder.offset + 1;
    const keyBytes = Buffer.concat([Buffer.of(0xc3), len(10), len(500_000_000), Buffer.alloc(10)]);
    const fault = scanFault(builder.entry({ key: '', keyBytes }).build());
    expect(fault).toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { offset, length: 500_000_000, limit: 88 * 10 + 264 },
    });
  });

  it.each([
    ['too short', Buffer.concat([Buffer.of(0xc3), len(2), len(9), Buffer.of(0, 65)])],
    ['too long', Buffer.concat([Buffer.of(0xc3), len(3), len(1), Buffer.of(1, 65, 66)])],
    [
      'reaching before its start',
      Buffer.concat([Buffer.of(0xc3), len(2), len(3), Buffer.of(32, 0)]),
    ],
    [
      'ending in a reference',
      Buffer.concat([Buffer.of(0xc3), len(3), len(4), Buffer.of(0, 65, 32)]),
    ],
  ])('refuses a packed key that decodes %s', (_, keyBytes) => {
    const builder = new RdbBuilder().selectDb(0);
    const offset = builder.offset + 1;
    const bytes = builder.entry({ key: '', keyBytes }).string('after', 'x'.repeat(50)).build();
    for (const size of [bytes.length, 1]) {
      expect(scanFault(bytes, size)).toMatchObject({ code: 'TM_RDB_STRING', context: { offset } });
    }
  });

  it('refuses a packed key of some bytes that claims to stand for none, and names the claim', () => {
    const builder = new RdbBuilder().selectDb(0);
    const offset = builder.offset + 1;
    const keyBytes = Buffer.concat([Buffer.of(0xc3), len(4), len(0), Buffer.of(2, 97, 98, 99)]);
    const bytes = builder.entry({ key: '', keyBytes }).string('after', 'x'.repeat(50)).build();
    for (const size of [bytes.length, 1]) {
      expect(scanFault(bytes, size)).toMatchObject({
        code: 'TM_RDB_STRING',
        message: expect.stringContaining('of 4 bytes claims to stand for none') as unknown,
        context: { offset },
      });
    }
  });
});

describe('RdbScanner', () => {
  it('gives header, open element and offset while bytes come', () => {
    const scanner = new RdbScanner();
    expect(scanner.header).toBeNull();
    expect(scanner.open).toBeNull();
    const builder = new RdbBuilder({ product: 'valkey' }).selectDb(7);
    builder.entry({ key: 'half', type: 22, value: Buffer.concat([len(9), str('field')]) });
    const bytes = builder.build();
    const { valueOffset, offset } = builder.entries[0]!;
    scanner.push(bytes.subarray(0, offset));
    expect(scanner.header).toEqual({ product: 'valkey', version: 80 });
    expect(scanner.open).toBeNull();
    scanner.push(bytes.subarray(offset, valueOffset - 1));
    expect(scanner.open).toMatchObject({ named: false, start: offset });
    scanner.push(bytes.subarray(valueOffset - 1, valueOffset + 3));
    expect(scanner.open).toMatchObject({ named: true, type: 22, db: 7, start: offset });
    expect(scanner.open?.keyView().toString()).toBe('half');
    expect(scanner.offset).toBe(valueOffset + 3);
  });

  it('passes a string of 5 GB over chunks in constant memory', () => {
    const value = 5_000_000_000;
    const builder = new RdbBuilder({ checksum: 'zero' }).selectDb(0);
    const bytes = builder
      .entry({ key: 'huge', value: len(value) })
      .string('after', '1')
      .build();
    const { valueOffset } = builder.entries[0]!;
    const found: { key: string; bytes: number }[] = [];
    const scanner = new RdbScanner((batch) => {
      for (let row = 0; row < batch.count; row += 1) {
        const [start, end] = [batch.start[row]!, batch.end[row]!];
        if (batch.type[row] === 0)
          found.push({ key: batch.keyOf(row).toString(), bytes: end - start });
      }
    });
    const chunk = Buffer.alloc(1_000_000, 1);
    scanner.push(bytes.subarray(0, valueOffset + 9));
    const before = process.memoryUsage().arrayBuffers;
    for (let at = 0; at < value; at += chunk.length) scanner.push(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_000_000);
    scanner.push(bytes.subarray(valueOffset + 9));
    expect(found).toEqual([
      { key: 'huge', bytes: 5_000_000_000 + 15 },
      { key: 'after', bytes: 9 },
    ]);
    expect(scanner.end()).toMatchObject({ keys: 2, largestEntryBytes: 5_000_000_015 });
  });

  it('delivers more rows than a batch holds, and keys apart, in order', () => {
    const builder = new RdbBuilder().selectDb(0);
    for (let at = 0; at < 10_000; at += 1) {
      const key = `${'k'.repeat(100)}${at}`;
      builder.entry(at % 2 === 0 ? { key: String(at) } : { key, keyBytes: lzfStr(key) });
    }
    expect(scanChunks([builder.build()]).entries).toEqual(builder.entries);
  });

  it('throws the same fault again from every later call', () => {
    const scanner = new RdbScanner();
    expect(() => scanner.push(Buffer.from('NOTRDB'))).toThrow('does not begin like an RDB');
    expect(() => scanner.push(small().build())).toThrow('does not begin like an RDB');
    expect(() => scanner.end()).toThrow('does not begin like an RDB');
  });

  it('takes empty chunks', () => {
    const bytes = small().build();
    const chunks = [...cut(bytes, 10)].flatMap((chunk) => [Buffer.alloc(0), chunk]);
    expect(scanChunks(chunks).entries).toHaveLength(2);
  });
});

describe('the end of an RDB', () => {
  it.each([11, 3])('finds every cut of a version %i file too short', (version) => {
    const builder = new RdbBuilder({ version }).selectDb(0).string('a', 'b');
    const bytes = builder.entry({ key: 'c', expiryMs: 1 }).build();
    for (let length = 0; length < bytes.length; length += 1) {
      const fault = scanFault(bytes.subarray(0, length));
      expect(fault).toMatchObject({ code: 'TM_RDB_TRUNCATED', context: { offset: length } });
    }
  });

  it('checks the checksum', () => {
    const bytes = small().build();
    expect(scanChunks([bytes]).summary.checksum).toBe('verified');
    bytes[bytes.length - 1]! ^= 1;
    for (const size of [bytes.length, 1]) {
      expect(scanFault(bytes, size)).toMatchObject({
        name: 'IntegrityError',
        code: 'TM_RDB_CHECKSUM',
        context: { offset: bytes.length - 8 },
      });
    }
  });

  it('takes eight zero bytes for no checksum', () => {
    const bytes = new RdbBuilder({ checksum: 'zero' }).selectDb(0).string('a', 'b').build();
    expect(scanChunks([bytes]).summary.checksum).toBe('absent');
  });

  it('expects no checksum below version 5', () => {
    const bytes = new RdbBuilder({ version: 4 }).selectDb(0).string('a', 'b').build();
    expect(scanChunks([bytes]).summary).toMatchObject({ checksum: 'absent', version: 4, keys: 1 });
  });

  it('refuses bytes after it', () => {
    const bytes = small().build();
    for (const size of [bytes.length + 1, bytes.length, 1]) {
      expect(scanFault(Buffer.concat([bytes, Buffer.of(0)]), size)).toMatchObject({
        code: 'TM_RDB_TRAILING',
        context: { offset: bytes.length },
      });
    }
  });
});

const ASSETS = new URL('../../../../shared/data/redis-assets/', import.meta.url);

describe.skipIf(!existsSync(ASSETS))('sample files of Redis', () => {
  it.each([
    ['encodings.rdb', 4, 13, 'absent'],
    ['hash-zipmap.rdb', 3, 1, 'absent'],
    ['hash-ziplist.rdb', 9, 1, 'verified'],
    ['list-quicklist.rdb', 8, 2, 'verified'],
    ['zset-ziplist.rdb', 10, 1, 'verified'],
    ['scriptbackup.rdb', 10, 0, 'verified'],
    ['corrupt_empty_keys.rdb', 10, 9, 'verified'],
  ] as const)('%s is read whole', (name, version, keys, checksum) => {
    const bytes = readFileSync(new URL(name, ASSETS));
    for (const size of [bytes.length, 1]) {
      expect(scanChunks(cut(bytes, size)).summary).toMatchObject({ version, keys, checksum });
    }
  });

  it('the commands behind an RDB preamble are found trailing', () => {
    const bytes = readFileSync(new URL('rdb-preamble.aof', ASSETS));
    const fault = { code: 'TM_RDB_TRAILING', context: { offset: 117 } };
    expect(scanFault(bytes)).toMatchObject(fault);
  });
});
