import { describe, expect, it } from 'vitest';
import { pointOf } from '../../../services/cli/src/commands/restore-point.ts';

const NOW = 1_795_000_000_000;

describe('pointOf()', () => {
  it.each([
    [{ at: '@1795000000' }, { kind: 'second', second: 1_795_000_000, timeline: null }],
    [
      { at: '@1795000000', exclusive: true },
      { kind: 'second', second: 1_794_999_999, timeline: null },
    ],
    [
      { at: '@1795000000', timeline: 't1' },
      { kind: 'second', second: 1_795_000_000, timeline: 't1' },
    ],
    [{ at: 'latest' }, { kind: 'latest' }],
    [{ offset: '123' }, { kind: 'offset', offset: 123n, timeline: null }],
    [
      { offset: '123', timeline: 't1' },
      { kind: 'offset', offset: 123n, timeline: 't1' },
    ],
    [
      { before: '9', timeline: 't1' },
      { kind: 'before', offset: 9n, timeline: 't1' },
    ],
    [{ backup: 'bk-1' }, { kind: 'backup', backup: 'bk-1' }],
  ])('reads %j', (flags, point) => {
    expect(pointOf(flags, NOW)).toEqual(point);
  });

  it.each([
    [{}, /say what to go back to/],
    [{ exclusive: true, offset: '1' }, /--exclusive belongs to --at/],
    [{ at: 'latest', exclusive: true }, /--exclusive needs a second/],
    [{ at: 'latest', timeline: 't1' }, /--timeline needs a second/],
    [{ backup: 'bk-1', timeline: 't1' }, /--timeline belongs to/],
    [{ offset: '-1' }, /"-1" is not an offset/],
    [{ before: '1x' }, /"1x" is not an offset/],
  ])('refuses %j', (flags, message) => {
    expect(() => pointOf(flags, NOW)).toThrow(
      expect.objectContaining({
        ...{ code: 'TM_USAGE', exitCode: 2 },
        message: expect.stringMatching(message) as unknown,
      }) as Error,
    );
  });
});
