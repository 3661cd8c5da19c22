import { describe, expect, it } from 'vitest';
import { formatBytes, table } from '../../../services/cli/src/output/table.ts';

describe('table()', () => {
  it('pads columns to their longest cell and leaves no space at the end', () => {
    const rows = [
      ['bk-1', 'manual', '12'],
      ['bk-22', 'attach', ''],
    ];
    expect(table(['ID', 'MODE', 'N'], rows)).toEqual([
      'ID     MODE    N',
      'bk-1   manual  12',
      'bk-22  attach',
    ]);
  });

  it('gives the head alone without rows, and takes short rows', () => {
    expect(table(['A', 'B'], [])).toEqual(['A  B']);
    expect(table(['A', 'B'], [['x']])).toEqual(['A  B', 'x']);
  });
});

describe('formatBytes()', () => {
  it.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1.0 KiB'],
    [1_536, '1.5 KiB'],
    [2_040_109_466, '1.9 GiB'],
    [1024 ** 4, '1.0 TiB'],
    [5_000 * 1024 ** 4, '5000.0 TiB'],
  ])('writes %i as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
