import { describe, expect, it } from 'vitest';
import { formatSecond, parseTime } from '../../../services/cli/src/time.ts';

const NOW_MS = 1_795_193_313_999;
const SECOND = Date.UTC(2026, 10, 19, 11, 2, 10) / 1000;
const parse = (text: string) => parseTime(text, NOW_MS);

describe('parseTime()', () => {
  it.each([
    '2026-11-19T11:02:10Z',
    '2026-11-19t11:02:10z',
    '2026-11-19 11:02:10Z',
    '2026-11-19T11:02:10+00:00',
    '2026-11-19T11:02:10-00:00',
    '2026-11-19T19:02:10+08:00',
    '2026-11-20T01:02:10+14:00',
    '2026-11-19T16:47:10+05:45',
    '2026-11-18T23:02:10-12:00',
  ])('reads %s as the same second', (text) => {
    expect(parse(text)).toEqual({ second: SECOND });
  });

  it.each([
    ['2024-02-29T23:59:59Z', Date.UTC(2024, 1, 29, 23, 59, 59)],
    ['2025-01-01T00:30:00+01:00', Date.UTC(2024, 11, 31, 23, 30, 0)],
    ['2024-12-31T23:30:00-01:00', Date.UTC(2025, 0, 1, 0, 30, 0)],
  ])('reads %s, over the edges of the calendar', (text, ms) => {
    expect(parse(text)).toEqual({ second: ms / 1000 });
  });

  it('reads @unix, and latest', () => {
    expect(parse('@0')).toEqual({ second: 0 });
    expect(parse('@1795193313')).toEqual({ second: 1_795_193_313 });
    expect(parse('latest')).toBe('latest');
  });

  it.each([
    ['-0s', 0],
    ['-1s', 1],
    ['-15m', 900],
    ['-2h', 7_200],
    ['-7d', 604_800],
  ])('counts %s from the present second', (text, seconds) => {
    expect(parse(text)).toEqual({ second: 1_795_193_313 - seconds });
  });

  it.each([
    ['2026-11-19T11:02:10', 'offset', /write 2026-11-19T11:02:10Z/],
    ['2026-11-19 11:02:10', 'offset', /Z for UTC/],
    ['yesterday 14:00', 'not a time', /^now is 2026-11-20T16:48:33Z or .*@1795193313: write it so/],
    ['2026-11-19T11:02:10.5Z', 'fraction', /whole seconds/],
    ['2026-11-19T11:02:10.000+08:00', 'fraction', /whole seconds/],
    ['2026-02-29T00:00:00Z', 'calendar', /check/],
    ['2026-02-30T00:00:00+02:00', 'calendar', /check/],
    ['2026-04-31T12:00:00Z', 'calendar', /check/],
    ['2026-13-01T00:00:00Z', 'calendar', /check/],
    ['2026-00-01T00:00:00Z', 'calendar', /check/],
    ['2026-11-00T00:00:00Z', 'calendar', /check/],
    ['2026-11-19T24:00:00Z', 'calendar', /check/],
    ['2026-11-19T11:60:00Z', 'calendar', /check/],
    ['2026-11-19T11:02:60Z', 'calendar', /check/],
    ['2026-11-19T11:02:10+24:00', 'calendar', /check/],
    ['2026-11-19T11:02:10+08:60', 'calendar', /check/],
    ['-999999999d', 'before 1970', /./],
  ])('refuses %s and says what is wrong with it', (text, what, hint) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        ...{ code: 'TM_TIME_SYNTAX', exitCode: 2 },
        message: expect.stringContaining(what) as unknown,
        hint: expect.stringMatching(hint) as unknown,
      }),
    );
  });

  it.each([
    ...['', 'now', 'Latest', 'yesterday', '1795193313', '@', '@-1', '@1.5', '@1e9', '15m', '+15m'],
    ...['-15', '-m', '-1.5h', '-15M', '-1w', '2026-11-19', '11:02:10Z', '19.11.2026 11:02'],
    ...['2026-11-19T11:02Z', '26-11-19T11:02:10Z', '2026-11-19T11:02:10+0800', '-15m\n'],
    ...['2026-11-19T11:02:10Z ', ' @5', '2026-11-19T11:02:10UTC', '2026-11-19T11:02:10+8:00'],
  ])('does not guess at %j', (text) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        code: 'TM_TIME_SYNTAX',
        message: `${JSON.stringify(text)} is not a time`,
      }),
    );
  });
});

describe('formatSecond()', () => {
  it('writes whole seconds in UTC, and parseTime() reads them', () => {
    expect(formatSecond(SECOND)).toBe('2026-11-19T11:02:10Z');
    expect(formatSecond(0)).toBe('1970-01-01T00:00:00Z');
    for (const second of [0, 951_782_400, SECOND, 4_102_444_799]) {
      expect(parse(formatSecond(second))).toEqual({ second });
    }
  });
});
