import { describe, expect, it } from 'vitest';
import {
  canLoadRdb,
  newestRdbVersion,
  type RdbData,
  rdbFormFor,
} from '../../../../services/restorer/src/target/rdb-support.ts';

type Product = 'redis' | 'valkey';

describe('newestRdbVersion()', () => {
  it.each<[Product, number, number]>([
    ['redis', 2_08_24, 6],
    ['redis', 3_02_13, 7],
    ['redis', 4_00_14, 8],
    ['redis', 5_00_00, 9],
    ['redis', 6_02_14, 9],
    ['redis', 7_00_15, 10],
    ['redis', 7_02_04, 11],
    ['redis', 7_04_00, 12],
    ['redis', 8_00_06, 12],
    ['redis', 8_04_00, 12],
    ['redis', 8_06_03, 13],
    ['redis', 8_08_00, 14],
    ['redis', 8_10_00, 15],
    ['valkey', 7_02_07, 11],
    ['valkey', 8_01_01, 11],
    ['valkey', 9_00_00, 80],
    ['valkey', 9_01_02, 80],
    ['valkey', 9_02_00, 81],
  ])('of %s %i is %i', (product, versionNumber, version) => {
    expect(newestRdbVersion({ product, versionNumber })).toBe(version);
  });
});

describe('canLoadRdb()', () => {
  it.each<[string, Product, number, Product, number, boolean]>([
    ['older into newer', 'redis', 7_00_15, 'redis', 9, true],
    ['equal', 'redis', 7_00_15, 'redis', 10, true],
    ['newer into older', 'redis', 7_00_15, 'redis', 11, false],
    ['Redis up to 7.2 into Valkey', 'valkey', 8_01_01, 'redis', 11, true],
    ['Redis 7.4 into Valkey', 'valkey', 9_01_02, 'redis', 12, false],
    ['Valkey up to 8 into Redis', 'redis', 7_02_04, 'valkey', 11, true],
    ['Valkey 9 into Redis', 'redis', 8_10_00, 'valkey', 80, false],
    ['Valkey 9 into Valkey 9', 'valkey', 9_00_00, 'valkey', 80, true],
    ['Valkey 9.2 into Valkey 9.1', 'valkey', 9_01_02, 'valkey', 81, false],
    ['a version that nobody writes', 'valkey', 9_01_02, 'valkey', 40, false],
  ])('%s', (_name, product, versionNumber, owner, version, loads) => {
    expect(canLoadRdb({ product, versionNumber }, { product: owner, version })).toBe(loads);
  });
});

const data = (change: Partial<RdbData> = {}): RdbData => ({
  ...{ product: 'redis', version: 12, minVersion: 11, types: { 0: 1, 20: 1 } },
  ...{ fieldTtl: false, functions: 0 },
  ...change,
});
const stream4 = { version: 13, minVersion: 13, types: { 26: 1 } };
const valkeyFields = { product: 'valkey', version: 80, minVersion: 80, fieldTtl: true } as const;
const redisFields = { minVersion: 12, fieldTtl: true };

describe('rdbFormFor()', () => {
  it.each<[string, Product, number, Partial<RdbData>, number | null, boolean]>([
    ['as it is', 'redis', 8_00_06, {}, null, false],
    ['an older header suffices', 'redis', 7_02_04, {}, 11, false],
    ['Redis 8 without its own types to Valkey', 'valkey', 8_01_01, {}, 11, false],
    ['Redis 8 to Redis 7.0', 'redis', 7_00_15, {}, 10, true],
    ['Redis 8 to Redis 6', 'redis', 6_00_16, {}, 9, true],
    ['Valkey 9 to Redis 7.2', 'redis', 7_02_04, { product: 'valkey', version: 80 }, 11, false],
    ['fields of Redis to Valkey 9', 'valkey', 9_01_02, redisFields, 80, true],
    ['fields of Valkey to Redis 8', 'redis', 8_00_06, valkeyFields, 12, true],
    ['fields of Valkey to Redis 8.6', 'redis', 8_06_03, valkeyFields, 12, true],
    ['streams of 8.6 to 8.0', 'redis', 8_00_06, stream4, 11, true],
    [
      'streams and fields of 8.6 to 8.0',
      'redis',
      8_00_06,
      { ...stream4, fieldTtl: true },
      12,
      true,
    ],
    ['streams of 8.6 to Valkey 8', 'valkey', 8_01_01, stream4, 11, true],
    [
      'streams and fields of 8.6 to Valkey 9',
      'valkey',
      9_00_00,
      { ...stream4, fieldTtl: true },
      80,
      true,
    ],
    [
      'a header lower than what is carried',
      'redis',
      8_00_06,
      { version: 9, minVersion: 12 },
      null,
      false,
    ],
  ])('%s', (_name, product, versionNumber, change, version, converted) => {
    const form = rdbFormFor({ product, versionNumber }, data(change));
    expect(form).toEqual({ loads: true, version, converted });
  });

  it.each<[string, Product, number, Partial<RdbData>, string]>([
    ['fields of Redis to Redis 7.2', 'redis', 7_02_04, redisFields, 'expiries of hash fields'],
    ['fields of Redis to Valkey 8', 'valkey', 8_01_01, redisFields, 'expiries of hash fields'],
    ['fields of Valkey to Redis 7.0', 'redis', 7_00_15, valkeyFields, 'expiries of hash fields'],
    ['functions to Redis 6', 'redis', 6_02_14, { functions: 1 }, 'functions'],
    ['metadata to Redis 8.0', 'redis', 8_00_06, { ...stream4, types: {} }, 'metadata of keys'],
    ['metadata to Valkey', 'valkey', 9_01_02, { ...stream4, types: {} }, 'metadata of keys'],
  ])('refuses %s by name', (_name, product, versionNumber, change, lacks) => {
    const form = rdbFormFor({ product, versionNumber }, data(change));
    expect(form).toMatchObject({ loads: false, lacks });
  });
});
