import { describe, expect, it } from 'vitest';
import { RdbBuilder } from '../../support/rdb-builder.ts';
import { cut, scanChunks, scanFault } from '../../support/rdb-scan.ts';

describe('the header of an RDB', () => {
  it.each([
    ['redis', 1],
    ['redis', 9],
    ['redis', 15],
    ['valkey', 80],
    ['valkey', 81],
  ] as const)('%s version %i is read', (product, version) => {
    const bytes = new RdbBuilder({ product, version }).build();
    for (const size of [bytes.length, 1]) {
      expect(scanChunks(cut(bytes, size)).summary).toMatchObject({ product, version, keys: 0 });
    }
  });

  it.each([
    'REDIS0000',
    'REDIS0016',
    'REDIS0080',
    'REDIS9999',
    'VALKEY011',
    'VALKEY079',
    'VALKEY082',
  ])('%s is refused as a version that is not known', (magic) => {
    const fault = { code: 'TM_RDB_VERSION', context: { offset: 0 } };
    expect(scanFault(Buffer.from(`${magic}\xff`, 'latin1'))).toMatchObject(fault);
  });

  it.each([
    ['*3\r\n$3\r\nSET', 0],
    ['RESIDUE', 2],
    ['REDIS00x1', 7],
    ['REDIS-001', 5],
    ['VALKEI080', 5],
    ['VALKEY08a', 8],
    ['\0\0\0\0\0\0\0\0\0', 0],
  ])('%j is refused at byte %i', (magic, offset) => {
    for (const size of [magic.length, 1]) {
      const fault = scanFault(Buffer.from(magic, 'latin1'), size);
      expect(fault).toMatchObject({ code: 'TM_RDB_MAGIC', context: { offset } });
    }
  });

  it('a compressed RDB is refused by name', () => {
    const fault = scanFault(Buffer.from('VKCS\x01\x01\x00\x00'));
    expect(fault).toMatchObject({ code: 'TM_RDB_MAGIC' });
    expect(String(fault)).toContain('VKCS');
  });

  it('no bytes at all are too few', () => {
    expect(scanFault(Buffer.alloc(0))).toMatchObject({
      code: 'TM_RDB_TRUNCATED',
      context: { offset: 0 },
    });
  });
});
