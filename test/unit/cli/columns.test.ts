import { describe, expect, it } from 'vitest';
import { Columns } from '../../../services/cli/src/output/columns.ts';
import { countOf, sizeOf } from '../../../services/cli/src/output/count.ts';

describe('columns of rows that come in one by one', () => {
  it('have the width that was asked for, and grow for what comes', () => {
    const columns = new Columns(['KEY', 'WHAT'], [5]);
    expect(columns.lines([['KEY', 'WHAT']])).toEqual(['KEY    WHAT']);
    expect(columns.lines([['longer key', 'set']])).toEqual(['longer key  set']);
    expect(columns.lines([['a', 'set']])).toEqual(['a           set']);
  });

  it('are not widened by one cell of any length', () => {
    const columns = new Columns(['KEY', 'WHAT'], []);
    columns.lines([['k'.repeat(5_000), 'set']]);
    expect(columns.lines([['a', 'set']])[0]).toHaveLength(60 + 2 + 3);
  });
});

describe('numbers for people', () => {
  it('stand with a noun in the right number', () => {
    expect([0, 1, 2].map((count) => countOf(count, 'key'))).toEqual(['0 keys', '1 key', '2 keys']);
  });

  it('never say that more was read than there is', () => {
    expect(sizeOf(3_000, 2_048)).toBe('2.0 KiB of 2.0 KiB');
    expect(sizeOf(100, 2_048)).toBe('100 B of 2.0 KiB');
  });
});
