import { describe, expect, it } from 'vitest';
import {
  canLoadRdb,
  newestRdbVersion,
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
