import { describe, expect, it } from 'vitest';
import { glob, refusalOf, selects } from '../../support/selector/selecting.ts';

const RULES: readonly (readonly [
  pattern: string,
  fits: readonly (string | Buffer)[],
  not: readonly (string | Buffer)[],
])[] = [
  ['abc', ['abc'], ['ab', 'abcd', '']],
  ['*', ['', 'a', 'é\n', Buffer.from([0xff])], []],
  ['a*c', ['ac', 'abbc', 'a\nc'], ['acd', 'xac']],
  ['a***c', ['ac', 'abbc'], ['ab']],
  ['h?llo', ['hello', 'h\nllo'], ['hllo', 'héllo']],
  ['h??llo', ['héllo'], ['hello']],
  ['h[ae]llo', ['hello', 'hallo'], ['hillo']],
  ['h[^e]llo', ['hallo', 'h^llo'], ['hello', 'hllo']],
  ['h[a-b]llo', ['hallo', 'hbllo'], ['hcllo', 'h-llo']],
  ['h[b-a]llo', ['hallo', 'hbllo'], ['hcllo']],
  ['\\*\\?\\[\\a', ['*?[a'], ['x?[a']],
  ['a\\', ['a\\'], ['a']],
  ['[\\]]', [']'], ['\\']],
  ['[a\\-c]', ['a', '-', 'c'], ['b']],
  ['[a-\\]', ['a', ']', '\\', '_'], ['b']],
  ['[abc', ['a', 'b', 'c'], ['[', 'd']],
  ['a[', [], ['a', 'a[', 'ab']],
  ['[]', [], ['', ']', '[]']],
  ['[^]', ['a', ']'], ['', 'ab']],
  ['[a-]', ['a', ']', '^'], ['-', 'b']],
  ['+(){}|^$', ['+(){}|^$'], []],
];

describe('glob', () => {
  it.each(RULES)('%j fits the bytes that KEYS would', (pattern, fits, not) => {
    expect(selects(glob(pattern), ...fits)).toEqual(fits.map(() => true));
    expect(selects(glob(pattern), ...not)).toEqual(not.map(() => false));
  });

  it('is refused beyond 1,024 parts, at the first that is too many', () => {
    expect(selects(glob(`${'a'.repeat(1_023)}*`), 'a'.repeat(1_024))).toEqual([true]);
    const error = refusalOf(() => selects(glob(`é${'?'.repeat(1_023)}`), 'a'));
    expect(error.code).toBe('TM_SELECTOR_SYNTAX');
    expect(error.context['position']).toBe(1_023);
  });
});
