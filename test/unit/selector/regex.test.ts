import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { refusalOf, regex, selects, specOf } from '../../support/selector/selecting.ts';

/** What a pattern fits and what it does not. */
const RULES: readonly (readonly [
  pattern: string,
  fits: readonly (string | Buffer)[],
  not: readonly (string | Buffer)[],
])[] = [
  ['abc', ['abc'], ['', 'ab', 'abcd', 'xabc', 'ABC']],
  ['a.c', ['abc', 'a.c', 'aéc', 'a😀c', 'a\u2028c'], ['ac', 'abbc', 'a\nc', 'a\rc']],
  ['.*', ['', 'a', 'anything é'], ['a\nb', '\r']],
  ['ab*c', ['ac', 'abc', 'abbbbc'], ['abxc', 'a']],
  ['ab?c', ['ac', 'abc'], ['abbc']],
  ['a*', ['', 'aaa'], ['b', 'aab']],
  ['é*', ['', 'é', 'éé'], ['e', Buffer.from([0xc3])]],
  ['😀?x', ['x', '😀x'], ['😀😀x']],
  ['[abc]', ['a', 'b', 'c'], ['', 'd', 'ab']],
  ['[^abc]', ['d', 'é', '\n', '\r', '😀'], ['', 'a', 'dd']],
  ['[a-c]x', ['ax', 'bx', 'cx'], ['dx', '-x']],
  ['[a-cx-z0]', ['a', 'y', '0'], ['d', '-']],
  ['[à-ü]', ['à', 'é', 'ü'], ['a', 'ÿ', Buffer.from([0xc3])]],
  ['[^à-ü]', ['a', 'ÿ', '€'], ['é']],
  ['[\u0001-😀]', ['a', 'é', '€', '😀', '\ue000', '\ud7ff'], ['😁']],
  ['[-a]', ['-', 'a'], ['b']],
  ['[a-]', ['-', 'a'], ['b']],
  ['[a^]', ['^', 'a'], ['b']],
  ['[.*?+(){}|$]', ['.', '*', '?', '+', '(', '|', '$'], ['a', '\\']],
  ['[\\]\\[\\\\\\-^]', [']', '[', '\\', '-', '^'], ['a']],
  ['[a\\-c]', ['a', '-', 'c'], ['b']],
  ['\\.\\*\\?\\[\\]\\\\', ['.*?[]\\'], ['a*?[]\\']],
  ['\\+\\(\\)\\{\\}\\|\\^\\$', ['+(){}|^$'], ['+']],
  ['a\\*', ['a*'], ['a', 'aa']],
  ['\\x61\\n\\r\\t', ['a\n\r\t'], ['x61']],
  ['user:[0-9]*:cart', ['user:7:cart', 'user::cart'], ['user:x:cart']],
  ['/a-b,c d"\'', ['/a-b,c d"\''], []],
];

const PREFIX = Buffer.from([0xff]);
const raw = (...bytes: number[]): Buffer => Buffer.from(bytes);

describe('regex', () => {
  it.each(RULES)('%j fits what its rules say, and the whole key', (pattern, fits, not) => {
    expect(selects(regex(pattern), ...fits)).toEqual(fits.map(() => true));
    expect(selects(regex(pattern), ...not)).toEqual(not.map(() => false));
  });

  it('takes a key that is UTF-8 by characters and any other by bytes', () => {
    const key = Buffer.concat([PREFIX, Buffer.from('é')]);
    expect(selects(regex('..'), 'éé', key)).toEqual([true, false]);
    expect(selects(regex('...'), 'éé', key)).toEqual([false, true]);
    expect(selects(regex('.é'), 'éé', key)).toEqual([true, true]);
    expect(selects(regex('[^a]é*'), 'xéé', key)).toEqual([true, true]);
    expect(selects(regex('.[é]'), 'xé', key)).toEqual([true, true]);
    expect(selects(regex('.[a-ü]?'), 'xé', Buffer.from([0xff, 0xc3]))).toEqual([true, false]);
    expect(selects(regex('[^\\xff]*'), 'é', key, raw(0xfe))).toEqual([true, false, true]);
  });

  it('takes \\x80 to \\xff as a byte, wherever it stands', () => {
    expect(selects(regex('\\xff'), raw(0xff), 'ÿ')).toEqual([true, false]);
    expect(selects(regex('\\xc3\\xa9'), 'é')).toEqual([true]);
    expect(selects(regex('\\xff.'), raw(0xff, 0xc3), raw(0xff, 0xc3, 0xa9))).toEqual([true, false]);
    expect(selects(regex('[\\x80-\\xff]*'), raw(0x80, 0xff), raw(0x7f))).toEqual([true, false]);
    expect(selects(regex('[a-\\xff]*'), raw(0x61, 0xff), 'z', '@')).toEqual([true, true, false]);
  });

  it.each([
    ['surrogates', [0xed, 0xa0, 0x80]],
    ['overlong forms', [0xc0, 0x80]],
    ['overlong forms of three bytes', [0xe0, 0x80, 0x80]],
    ['overlong forms of four bytes', [0xf0, 0x80, 0x80, 0x80]],
    ['numbers over 10ffff', [0xf4, 0x90, 0x80, 0x80]],
    ['lone continuations', [0x80]],
    ['cut characters', [0xe2, 0x82]],
    ['leads that UTF-8 has not', [0xf5, 0x80, 0x80, 0x80]],
  ])('%s are no UTF-8: the key counts by bytes', (_, bytes) => {
    expect(selects(regex('.'.repeat(bytes.length)), raw(...bytes))).toEqual([true]);
    expect(selects(regex(`${'.'.repeat(bytes.length)}.`), raw(...bytes))).toEqual([false]);
  });

  it.each([
    ['a+', 1, 'aa*'],
    ['(a)', 0, '--regex for each choice'],
    ['a)', 1, '--regex for each choice'],
    ['a{2}', 1, 'as often as it occurs'],
    ['a}', 1, 'as often as it occurs'],
    ['a|b', 1, '--regex for each choice'],
    ['^a', 0, 'leave it out'],
    ['a$', 1, 'leave it out'],
    ['a]', 1, '\\]'],
    ['*', 0, '.*'],
    ['?a', 0, '\\?'],
    ['a**', 2, 'is enough'],
    ['a*?', 2, 'is enough'],
    ['a??', 2, 'is enough'],
    ['a?+', 2, 'is enough'],
    ['éé[ab', 2, 'close it'],
    ['[', 0, 'close it'],
    ['[^', 0, 'close it'],
    ['[a-', 0, 'close it'],
    ['[]', 1, '\\]'],
    ['[^]', 2, '\\]'],
    ['x[z-a]', 2, 'lower end'],
    ['[\\xff-\\x80]', 1, 'lower end'],
    ['[\\xff-é]', 1, 'two ranges'],
    ['[é-\\xff]', 1, 'two ranges'],
    ['[a-c-e]', 4, '\\-'],
    ['[[:alpha:]]', 1, '\\['],
    ['[a-[]', 3, '\\['],
    ['\\d', 0, '[0-9]'],
    ['a\\w*', 1, '[0-9]'],
    ['\\é', 0, 'punctuation'],
    ['\\u0041', 0, 'punctuation'],
    ['a\\', 1, '\\\\'],
    ['\\xg0', 0, '\\x0a'],
    ['\\x1', 0, '\\x0a'],
    ['a\ud800', 1, '\\xHH'],
  ])('%j is refused at character %i, with a way to write it', (pattern, position, hint) => {
    const error = refusalOf(() => compileSelector(specOf({ include: [regex(pattern)] })));
    expect(error.code).toBe('TM_SELECTOR_SYNTAX');
    expect(error.context).toEqual({ pattern, position });
    expect(error.hint).toContain(hint);
    expect(refusalOf(() => compileSelector(specOf({ exclude: [regex(pattern)] }))).code).toBe(
      'TM_SELECTOR_SYNTAX',
    );
  });

  it('is refused beyond 1,024 parts, at the first that is too many, and shown in part', () => {
    expect(selects(regex('a'.repeat(1_024)), 'a'.repeat(1_024))).toEqual([true]);
    expect(selects(regex('.'.repeat(1_024)), 'é'.repeat(1_024))).toEqual([true]);
    const error = refusalOf(() => selects(regex('a'.repeat(1_025)), 'a'));
    expect(error.context).toEqual({ pattern: `${'a'.repeat(200)}…`, position: 1_024 });
  });
});
