import { describe, expect, it } from 'vitest';
import {
  parseTargetRecord,
  replaySettings,
} from '../../../../services/restorer/src/target/target-record.ts';

const valueOf = (product: 'redis' | 'valkey', versionNumber: number, name: string) =>
  replaySettings({ product, versionNumber }, { user: 'u', password: 'p' }).find(
    ([setting]) => setting === name,
  )?.[1];

describe('replaySettings()', () => {
  it('keeps the snapshot off the disk in the best way that the version knows', () => {
    expect(valueOf('redis', 7_00_15, 'repl-diskless-load')).toBe('on-empty-db');
    expect(valueOf('redis', 8_00_02, 'repl-diskless-load')).toBe('on-empty-db');
    expect(valueOf('redis', 8_06_03, 'repl-diskless-load')).toBe('flushdb');
    expect(valueOf('valkey', 8_00_01, 'repl-diskless-load')).toBe('on-empty-db');
    expect(valueOf('valkey', 8_01_01, 'repl-diskless-load')).toBe('flush-before-load');
  });
});

describe('parseTargetRecord()', () => {
  const record = {
    version: 1,
    runId: 'abc',
    settings: [{ name: 'save', before: '3600 1', during: '' }],
    unexpectedErrors: null,
    failures: { incr: 2 },
  };

  it('reads back what went through JSON', () => {
    expect(parseTargetRecord(JSON.parse(JSON.stringify(record)))).toEqual(record);
  });

  it.each([
    ['nothing', null],
    ['another version', { ...record, version: 2 }],
    ['no settings', { ...record, settings: undefined }],
    ['a setting without a value', { ...record, settings: [{ name: 'save', during: '' }] }],
    ['a count that is text', { ...record, unexpectedErrors: '0' }],
    ['failures that are no numbers', { ...record, failures: { incr: '2' } }],
    ['no failures', { ...record, failures: undefined }],
  ])('refuses %s', (_name, value) => {
    expect(() => parseTargetRecord(value)).toThrow(
      expect.objectContaining({ code: 'TM_NODE_REPLY' }),
    );
  });
});
