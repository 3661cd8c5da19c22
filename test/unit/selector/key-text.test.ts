import { keyOfText, shownKey } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../../support/selector/selecting.ts';

describe('keyOfText()', () => {
  it.each([
    ['user:1', Buffer.from('user:1')],
    ['', Buffer.alloc(0)],
    ['é', Buffer.from('é')],
    ['a\\x00b\\xfF', Buffer.from([0x61, 0, 0x62, 0xff])],
    ['\\n\\r\\t\\\\', Buffer.from('\n\r\t\\')],
    ['\\\\x41', Buffer.from('\\x41')],
    ['\\x5cn', Buffer.from('\\n')],
    ['\\xc3\\xa9', Buffer.from('é')],
    ['a*[b]?', Buffer.from('a*[b]?')],
  ])('%j is the key that its escapes say', (text, key) => {
    expect(keyOfText(text).equals(key)).toBe(true);
  });

  it.each([
    ['\\', 0],
    ['ab\\', 2],
    ['é\\q', 1],
    ['\\x4', 0],
    ['\\xzz', 0],
    ['\\x 1', 0],
    ['\\N', 0],
    ['\\\\\\*', 2],
  ])('%j is refused at character %i', (text, position) => {
    const error = refusalOf(() => keyOfText(text));
    expect(error.code).toBe('TM_SELECTOR_SYNTAX');
    expect(error.context).toEqual({ pattern: text, position });
    expect(error.hint).toContain('\\xHH');
  });
});

describe('shownKey()', () => {
  it.each([
    [Buffer.from('a b:1'), 'a b:1'],
    [Buffer.from('é\\\n'), 'é\\\\\\x0a'],
    [Buffer.from([0x61, 0xff, 0x5c]), 'a\\xff\\\\'],
    [Buffer.from('\u202e'), '\\xe2\\x80\\xae'],
  ])('is one line from which the bytes can be told', (key, text) => {
    expect(shownKey(key)).toBe(text);
    expect(keyOfText(shownKey(key))).toEqual(key);
  });

  it('shows at most so many bytes', () => {
    expect(shownKey(Buffer.from('abcdef'), 3)).toBe('abc');
    expect(shownKey(Buffer.alloc(100_000, 'a'))).toHaveLength(65_536);
  });
});
