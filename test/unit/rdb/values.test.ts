import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { len, RDB_VECTORS, RdbBuilder, str } from '../../support/rdb-builder.ts';
import { cut, scanChunks, scanFault } from '../../support/rdb-scan.ts';

const PRODUCTS = ['redis', 'valkey'] as const;

describe.each(PRODUCTS)('values of %s', (product) => {
  it.each(RDB_VECTORS[product])('finds where a $name (type $type) ends', ({ type, value }) => {
    const builder = new RdbBuilder({ product }).selectDb(0);
    builder.entry({ key: 'k', type, value }).entry({ key: 'after', expiryMs: 5 });
    const bytes = builder.build();
    for (const size of [bytes.length, 7, 1]) {
      const { entries, summary } = scanChunks(cut(bytes, size));
      expect(entries).toEqual(builder.entries);
      expect(summary.types[String(type)]).toBe(type === 0 ? 2 : 1);
    }
  });

  it('finds all of them in one file, in every kind of chunk', () => {
    const builder = new RdbBuilder({ product }).selectDb(2);
    for (const { name, type, value } of RDB_VECTORS[product]) {
      builder.entry({ key: name, type, value, expiryMs: 1_700_000_000_000 });
    }
    const bytes = builder.build();
    for (const size of [bytes.length, 4096, 100, 3, 1]) {
      expect(scanChunks(cut(bytes, size)).entries).toEqual(builder.entries);
    }
  });
});

describe('types that are not read', () => {
  it.each([
    ['redis', 6, 'MODULE_PRE_GA'],
    ['redis', 22, 'HASH_METADATA_PRE_GA of Redis 7.4-rc'],
    ['redis', 23, 'HASH_LISTPACK_EX_PRE_GA of Redis 7.4-rc'],
    ['redis', 27, 'STREAM_LISTPACKS_5 of Redis 8.8'],
    ['redis', 28, 'ARRAY of Redis 8.8'],
    ['redis', 29, 'HASH_TMPL_LP of Redis 8.10'],
    ['redis', 30, 'HASH_TMPL_LP_REF of Redis 8.10'],
    ['redis', 31, 'HASH_TMPL_ARRAY of Redis 8.10'],
    ['redis', 32, 'HASH_TMPL_ARRAY_REF of Redis 8.10'],
    ['redis', 33, 'GCRA of Redis 8.10'],
    ['valkey', 6, 'MODULE_PRE_GA'],
    ['valkey', 23, 'PATH_HASH of Valkey 9.2'],
    ['redis', 8, null],
    ['redis', 200, null],
    ['valkey', 24, null],
    ['valkey', 25, null],
    ['valkey', 26, null],
  ] as const)('%s type %i is refused by name at its byte', (product, type, name) => {
    const builder = new RdbBuilder({ product }).selectDb(0).string('fine', 'x');
    const offset = builder.offset + 9;
    const bytes = builder.entry({ key: 'k', type, expiryMs: 1 }).build();
    for (const size of [bytes.length, 1]) {
      const fault = scanFault(bytes, size);
      expect(fault).toBeInstanceOf(TidemarkError);
      expect(fault).toMatchObject({ code: 'TM_RDB_TYPE', context: { offset, type, name } });
    }
  });
});

describe('values that are not well formed', () => {
  it.each([
    ['a string', 0, Buffer.of(0x82)],
    ['an unknown string encoding', 0, Buffer.of(0xc4)],
    ['a count', 2, Buffer.of(0xc0, 1)],
    ['a packed length', 0, Buffer.of(0xc3, 0xff)],
    ['a stream counter', 15, Buffer.concat([len(0), len(0), Buffer.of(0xff)])],
  ])('refuses %s whose first byte starts no length', (_, type, value) => {
    const builder = new RdbBuilder().selectDb(0);
    builder.entry({ key: 'k', type, value });
    const { valueOffset } = builder.entries[0]!;
    const fault = scanFault(builder.build());
    expect(fault).toMatchObject({ code: 'TM_RDB_LENGTH' });
    const { offset } = (fault as TidemarkError).context;
    expect(offset).toBeGreaterThanOrEqual(valueOffset);
    expect(offset).toBeLessThan(valueOffset + value.length);
  });

  it('refuses an unknown module item at its byte', () => {
    const builder = new RdbBuilder().selectDb(0);
    builder.entry({ key: 'k', type: 7, value: Buffer.concat([len(1, '64'), len(6), str('x')]) });
    const offset = builder.entries[0]!.valueOffset + 9;
    expect(scanFault(builder.build())).toMatchObject({
      code: 'TM_RDB_OPCODE',
      context: { offset, opcode: 6 },
    });
  });

  it.each([0, 1, 2, 4, 5, 14, 18, 24])(
    'takes no memory and no time for a claimed size of 2^52 (type %i)',
    (type) => {
      const head = type === 24 ? Buffer.alloc(8) : Buffer.alloc(0);
      const value = Buffer.concat([head, len(2n ** 52n)]);
      const builder = new RdbBuilder().selectDb(0).entry({ key: 'k', type, value });
      const bytes = builder.build().subarray(0, builder.offset);
      expect(scanFault(bytes)).toMatchObject({ code: 'TM_RDB_TRUNCATED' });
    },
  );

  it('refuses a size that is not exact as a number', () => {
    const builder = new RdbBuilder().selectDb(0).entry({ key: 'k', value: len(2n ** 63n) });
    const { valueOffset } = builder.entries[0]!;
    expect(scanFault(builder.build())).toMatchObject({
      code: 'TM_RDB_LIMIT',
      context: { offset: valueOffset, length: 2n ** 63n },
    });
  });
});
