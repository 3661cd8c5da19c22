import { describe, expect, it } from 'vitest';
import { parseDuration, parseSize } from '../../../services/workspace/src/config/units.ts';

describe('parseSize()', () => {
  it.each([
    ['0B', 0],
    ['512B', 512],
    ['64KiB', 65_536],
    ['8MiB', 8_388_608],
    ['20GiB', 21_474_836_480],
    ['1TiB', 1_099_511_627_776],
  ])('reads %s', (text, bytes) => {
    expect(parseSize(text, 'x')).toBe(bytes);
  });

  it.each(['', '8', 'MiB', '8MB', '8 MiB', '8mib', '-8MiB', '1.5GiB', '8MiB ', '1e3B', '8s'])(
    'refuses %j with the name of the setting and an example',
    (text) => {
      expect(() => parseSize(text, 'archiver.roll_max_bytes')).toThrow(
        expect.objectContaining({
          ...{ code: 'TM_CONFIG', exitCode: 2 },
          message: `archiver.roll_max_bytes is not a size such as 8MiB or 20GiB: ${JSON.stringify(text)}`,
        }),
      );
    },
  );
});

describe('parseDuration()', () => {
  it.each([
    ['0ms', 0],
    ['500ms', 500],
    ['15s', 15_000],
    ['2m', 120_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text, 'x')).toBe(ms);
  });

  it.each(['', '15', 's', '15 s', '15S', '-1s', '1.5h', '1w', '1h30m', '5MiB', 'toString'])(
    'refuses %j with the name of the setting and an example',
    (text) => {
      expect(() => parseDuration(text, 'archiver.heartbeat')).toThrow(
        expect.objectContaining({
          code: 'TM_CONFIG',
          message: expect.stringMatching(
            /^archiver\.heartbeat is not a duration such as 500ms/,
          ) as unknown,
        }),
      );
    },
  );
});
