import { UsageError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { resultLines } from '../../../services/cli/src/commands/job.ts';
import { namingFlags } from '../../../services/cli/src/commands/policy.ts';
import { writeLine } from '../../../services/cli/src/commands/shown-command.ts';
import { countOf } from '../../../services/cli/src/output/count.ts';

it.each([
  [0, 'key', '0 keys'],
  [1, 'log entry', '1 log entry'],
  [2, 'log entry', '2 log entries'],
  [2, 'key', '2 keys'],
])('countOf(%d, %j) is %j', (count, noun, text) => {
  expect(countOf(count, noun)).toBe(text);
});

it('resultLines() shows a line for each part that says anything', () => {
  expect(resultLines(null)).toEqual([]);
  expect(resultLines('done')).toEqual(['result: "done"']);
  expect(
    resultLines({ backup: 'bk-1', keys: 4, undo: null, warnings: [], cut: { offset: '7' } }),
  ).toEqual(['result:', '  backup  bk-1', '  keys    4', '  cut     {"offset":"7"}']);
});

it('namingFlags() names the flag instead of the place in the document', () => {
  const fault = new UsageError(
    'TM_POLICY',
    '/days/1: not a day; /hours/3: not a time; /timeZone: not a zone',
    { context: { pointer: '/days/1', faults: 3 }, hint: 'read' },
  );
  expect(namingFlags(fault)).toMatchObject({
    ...{ code: 'TM_POLICY', hint: 'read', context: { pointer: '/days/1', faults: 3 } },
    message:
      '--days, the second: not a day; --hours, number 4: not a time; --time-zone: not a zone',
  });
  const other = new UsageError('TM_USAGE', '/days/1: no');
  expect(namingFlags(other)).toBe(other);
});

describe('writeLine() is the command that writes what was previewed', () => {
  const place = { at: '2026-11-22T08:45:12Z', configPath: '/etc/my conf.toml' };

  it('with the second that was looked at, words quoted for a shell, and every selector', () => {
    const flags = { at: '-15m', glob: ['cart:*'], key: ["it's", 'b'], maxLatency: '5ms' };
    expect(writeLine('a', { ...flags, ttl: 'absolute', keepMissing: true }, place)).toBe(
      "tidemark -c '/etc/my conf.toml' restore a --at 2026-11-22T08:45:12Z --key 'it'\\''s' --key b " +
        "--glob 'cart:*' --ttl absolute --keep-missing --to original",
    );
  });

  it('with another point as it was given', () => {
    const flags = { before: '81', timeline: 'tl1', regex: ['a.*'], maxLatency: '5ms' };
    expect(writeLine('a', flags, { ...place, configPath: 't.toml' })).toBe(
      "tidemark -c t.toml restore a --before 81 --timeline tl1 --regex 'a.*' --to original",
    );
  });
});
