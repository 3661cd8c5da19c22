import { bytesOf, collectBytes, Crc64 } from '@tidemark/core';
import {
  adaptDumpPayload,
  dumpPayload,
  type DumpEntry,
  type DumpOptions,
  readDumpPayload,
} from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { inChunks } from '../../support/pattern.ts';
import {
  int64,
  keyMeta,
  len,
  listpack,
  RDB_VECTORS,
  str,
  streamValue,
} from '../../support/rdb-builder.ts';

const T = 1_700_000_000_000;

/** A payload as servers write it. */
function payload(
  body: Buffer,
  version: number,
  checksum: 'crc' | 'zero' | 'wrong' = 'crc',
): Buffer {
  const signed = Buffer.concat([body, Buffer.of(version & 0xff, version >> 8)]);
  const crc = new Crc64();
  crc.update(signed);
  const sum = checksum === 'zero' ? Buffer.alloc(8) : crc.digestBytes();
  if (checksum === 'wrong') sum[3]! ^= 1;
  return Buffer.concat([signed, sum]);
}

async function dump(
  entry: DumpEntry,
  value: Buffer,
  options: DumpOptions,
  size = 7,
): Promise<Buffer> {
  const output = dumpPayload(entry, inChunks(value, size), options);
  return collectBytes(output, 1e9, () => new Error('too much'));
}

describe('dumpPayload()', () => {
  it.each(['redis', 'valkey'] as const)('wraps every type of %s as it is', async (product) => {
    const version = product === 'redis' ? 13 : 80;
    for (const { type, value, name } of RDB_VECTORS[product]) {
      const made = await dump({ product, type }, value, { product, version });
      const facts = readDumpPayload(made);
      expect(facts, name).toEqual({
        ...{
          product: type === 22 ? 'valkey' : 'redis',
          version: made.readUInt16LE(made.length - 10),
        },
        ...{ checksum: 'verified', type, keyMeta: null, extraBytes: 0 },
        ...{ valueStart: 1, valueEnd: 1 + value.length },
      });
      const body = Buffer.concat([Buffer.of(type), value]);
      expect(made).toEqual(payload(body, facts.version));
    }
  });

  it.each([
    [0, 1],
    [5, 8],
    [14, 7],
    [18, 10],
    [20, 11],
    [26, 13],
  ])('names the lowest version that has type %i: %i', async (type, version) => {
    const { value } = RDB_VECTORS.redis.find((one) => one.type === type)!;
    const made = await dump({ product: 'redis', type }, value, { product: 'redis', version: 15 });
    expect(readDumpPayload(made).version).toBe(version);
  });

  it('converts what the target does not know', async () => {
    const fields = Buffer.concat([int64(T), len(1), len(3), str('f'), str('v')]);
    const redis = { product: 'redis', type: 24 } as const;
    const body = Buffer.concat([Buffer.of(22), len(1), str('f'), str('v'), int64(T + 2)]);
    const valkey = { product: 'valkey', version: 80 } as const;
    expect(await dump(redis, fields, valkey)).toEqual(payload(body, 80));
    const stream = Buffer.concat([Buffer.of(15), streamValue(15)]);
    const old = { product: 'redis', version: 9 } as const;
    expect(await dump({ product: 'redis', type: 26 }, streamValue(26), old)).toEqual(
      payload(stream, 9),
    );
    const persist = { product: 'redis', version: 12, newExpiry: () => null } as const;
    const without = Buffer.concat([Buffer.of(24), int64(1), len(1), len(0), str('f'), str('v')]);
    expect(await dump(redis, fields, persist)).toEqual(payload(without, 12));
  });

  it('keeps metadata of the key when it is given', async () => {
    const meta = Buffer.concat([Buffer.of(0xf3), keyMeta(2)]);
    const entry: DumpEntry = { product: 'redis', type: 0, keyMeta: meta };
    const made = await dump(entry, str('v'), { product: 'redis', version: 13 });
    expect(made).toEqual(payload(Buffer.concat([meta, Buffer.of(0), str('v')]), 13));
    expect(readDumpPayload(made)).toMatchObject({
      ...{ keyMeta: { start: 0, end: meta.length }, type: 0, valueStart: meta.length + 1 },
    });
    for (const target of [
      { product: 'redis', version: 12 },
      { product: 'valkey', version: 80 },
    ] as const) {
      await expect(dump(entry, str('v'), target)).rejects.toMatchObject({
        code: 'TM_RDB_REWRITE',
        context: { needed: 13 },
      });
    }
  });

  it.each<[string, DumpEntry, DumpOptions, number]>([
    [
      'expiries of fields for Redis 7.2',
      { product: 'redis', type: 24 },
      { product: 'redis', version: 11 },
      12,
    ],
    [
      'expiries of fields of Valkey for Valkey 8',
      { product: 'valkey', type: 22 },
      { product: 'redis', version: 11 },
      80,
    ],
    [
      'a type known by name only',
      { product: 'redis', type: 28 },
      { product: 'redis', version: 15 },
      0,
    ],
  ])('refuses %s before the value is read', async (_, entry, options, needed) => {
    const made = dumpPayload(entry, bytesOf(), options);
    await expect(made.next()).rejects.toMatchObject({
      code: 'TM_RDB_REWRITE',
      context: { needed },
    });
  });

  it('never ends a value that is not whole, or longer', async () => {
    const value = Buffer.concat([len(2), str('a'), str('b')]);
    const entry: DumpEntry = { product: 'redis', type: 1 };
    const target: DumpOptions = { product: 'redis', version: 9 };
    await expect(dump(entry, value.subarray(0, -1), target)).rejects.toMatchObject({
      code: 'TM_RDB_TRUNCATED',
      context: { offset: value.length - 1 },
    });
    await expect(dump(entry, Buffer.alloc(0), target)).rejects.toMatchObject({
      code: 'TM_RDB_TRUNCATED',
    });
    const longer = Buffer.concat([value, Buffer.of(0)]);
    for (const size of [1, 100]) {
      await expect(dump(entry, longer, target, size)).rejects.toMatchObject({
        code: 'TM_RDB_TRAILING',
        context: { offset: value.length },
      });
    }
  });
});

describe('readDumpPayload()', () => {
  const body = Buffer.concat([Buffer.of(0), str('value')]);

  it('takes a payload without a checksum, and bytes after the value', () => {
    expect(readDumpPayload(payload(body, 11, 'zero')).checksum).toBe('absent');
    const facts = readDumpPayload(payload(Buffer.concat([body, Buffer.from('junk')]), 11));
    expect(facts).toMatchObject({ valueEnd: body.length, extraBytes: 4 });
  });

  it.each<[string, Buffer, string, number]>([
    ['nothing', Buffer.alloc(0), 'TM_RDB_TRUNCATED', 0],
    ['a footer alone', payload(Buffer.alloc(0), 9), 'TM_RDB_TRUNCATED', 10],
    ['a value that is cut', payload(body.subarray(0, -1), 9), 'TM_RDB_TRUNCATED', 6],
    ['KEY_META that is cut', payload(Buffer.of(0xf3, 1, 0, 0), 13), 'TM_RDB_TRUNCATED', 4],
    ['a wrong checksum', payload(body, 9, 'wrong'), 'TM_RDB_CHECKSUM', 9],
    ['a version of nobody', payload(body, 40), 'TM_RDB_VERSION', 7],
    ['a type of nobody', payload(Buffer.of(99, 0), 12), 'TM_RDB_TYPE', 0],
    ['an array of Redis 8.8', payload(Buffer.of(28, 0), 14), 'TM_RDB_TYPE', 0],
    ['no type but an opcode', payload(Buffer.of(0xfe, 0), 12), 'TM_RDB_TYPE', 0],
    ['no length', payload(Buffer.of(1, 0x82), 12), 'TM_RDB_LENGTH', 1],
  ])('ends typed: %s', (_, bytes, code, offset) => {
    let fault: unknown = null;
    try {
      readDumpPayload(bytes);
    } catch (error) {
      fault = error;
    }
    expect(fault).toMatchObject({ code, context: { offset } });
  });
});

describe('adaptDumpPayload()', () => {
  it('gives the same value in the form of the target', () => {
    const fields = Buffer.concat([Buffer.of(25), int64(T), str(listpack(['f', 'v', T]))]);
    const there = adaptDumpPayload(payload(fields, 12), { product: 'valkey', version: 80 });
    const hash2 = Buffer.concat([Buffer.of(22), len(1), str('f'), str('v'), int64(T)]);
    expect(there).toEqual(payload(hash2, 80));
    const back = adaptDumpPayload(there, { product: 'redis', version: 12 });
    const metadata = Buffer.concat([Buffer.of(24), int64(1), len(1), len(T), str('f'), str('v')]);
    expect(back).toEqual(payload(metadata, 12));
  });

  it('lowers the footer alone where the value may stay', () => {
    const body = Buffer.concat([Buffer.of(20), str(listpack(['a']))]);
    const options = { product: 'valkey', version: 80 } as const;
    expect(adaptDumpPayload(payload(body, 12), options)).toEqual(payload(body, 11));
  });

  it('keeps metadata where it is known', () => {
    const meta = Buffer.concat([Buffer.of(0xf3), keyMeta()]);
    const body = Buffer.concat([meta, Buffer.of(0), str('v')]);
    const same = adaptDumpPayload(payload(body, 13), { product: 'redis', version: 13 });
    expect(same).toEqual(payload(body, 13));
    expect(() => adaptDumpPayload(payload(body, 13), { product: 'redis', version: 12 })).toThrow(
      /metadata/,
    );
  });
});
