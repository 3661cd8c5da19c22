import { describe, expect, it } from 'vitest';
import { ttlLine, ttlOf } from '../../../services/cli/src/commands/ttl-flag.ts';

const NOW = 1_795_255_500_250; // 2026-11-21T10:05:00.250Z

describe('ttlOf()', () => {
  it('keeps times of a whole instance and lives of selected keys', () => {
    expect(ttlOf(undefined, false, NOW)).toEqual({ mode: 'absolute' });
    expect(ttlOf(undefined, true, NOW)).toEqual({ mode: 'remaining' });
    expect(ttlOf('absolute', true, NOW)).toEqual({ mode: 'absolute' });
  });

  it.each<[string, object]>([
    ['remaining', { mode: 'remaining' }],
    ['persist', { mode: 'persist' }],
    // The instant of the plan, which is later than that of the command line.
    ['rebase:now', { mode: 'remaining' }],
    ['rebase:2026-11-21T10:00:00Z', { mode: 'rebase', toMs: 1_795_255_200_999 }],
    ['rebase:2026-11-21T18:00:00+08:00', { mode: 'rebase', toMs: 1_795_255_200_999 }],
    ['rebase:@1795255200', { mode: 'rebase', toMs: 1_795_255_200_999 }],
    ['rebase:-5m', { mode: 'rebase', toMs: 1_795_255_200_999 }],
    ['shift:1h', { mode: 'shift', byMs: 3_600_000 }],
    ['shift:+1h', { mode: 'shift', byMs: 3_600_000 }],
    ['shift:-90m', { mode: 'shift', byMs: -5_400_000 }],
    ['shift:-0s', { mode: 'shift', byMs: 0 }],
    ['shift:500ms', { mode: 'shift', byMs: 500 }],
  ])('reads %s', (text, choice) => {
    expect(ttlOf(text, false, NOW)).toEqual(choice);
  });

  it.each<[string, string]>([
    ['', 'TM_USAGE'],
    ['never', 'TM_USAGE'],
    ['Absolute', 'TM_USAGE'],
    ['rebase', 'TM_USAGE'],
    ['rebase:latest', 'TM_USAGE'],
    ['rebase:', 'TM_TIME_SYNTAX'],
    ['rebase:10:00', 'TM_TIME_SYNTAX'],
    ['rebase:2026-11-21T10:00:00', 'TM_TIME_SYNTAX'],
    ['rebase:2026-02-31T10:00:00Z', 'TM_TIME_SYNTAX'],
    ['shift:', 'TM_USAGE'],
    ['shift:+', 'TM_USAGE'],
    ['shift:--1h', 'TM_USAGE'],
    ['shift:1', 'TM_USAGE'],
    ['shift:1h30m', 'TM_USAGE'],
    ['shift:1.5h', 'TM_USAGE'],
    ['remaining\n', 'TM_USAGE'],
  ])('refuses %j', (text, code) => {
    expect(() => ttlOf(text, false, NOW)).toThrow(expect.objectContaining({ code }));
  });
});

describe('ttlLine()', () => {
  it.each<[string, string]>([
    ['absolute', 'ttl: absolute (expiry times as they were)'],
    [
      'rebase:2026-11-21T10:00:00Z',
      'ttl: rebase:2026-11-21T10:00:00Z (what was left of a life at that point is left from that time on; what had expired by then stays expired)',
    ],
  ])('says what %s means', (ttl, line) => {
    expect(ttlLine(ttl)).toBe(line);
  });
});
