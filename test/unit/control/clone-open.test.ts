import { expect, it } from 'vitest';
import { hasSourcePassword, isOpenTo } from '../../../services/control/src/clone/open-source.ts';

const open = (rules: string): boolean =>
  isOpenTo([
    { name: 'app', rules: 'on nopass ~* +@all' },
    { name: 'default', rules },
  ]);

it.each([
  ['on nopass sanitize-payload ~* &* +@all', true],
  ['on nopass ~* +@all', true],
  ['on nopass resetchannels -@all +get', true],
  ['on nopass -@all (+get ~a*)', true],
  ['on #ab12 ~* &* +@all', false],
  ['off nopass ~* &* +@all', false],
  ['on nopass ~* &* -@all', false],
  ['on resetchannels -@all', false],
])('the default user with %j lets everybody in: %s', (rules, is) => {
  expect(open(rules)).toBe(is);
});

it('who is not told of lets nobody in', () => {
  expect(isOpenTo([])).toBe(false);
});

it('a password that was given goes before that of the source', () => {
  expect(hasSourcePassword({ keep: ['password'], passwordRef: null })).toBe(true);
  expect(hasSourcePassword({ keep: ['password'], passwordRef: 'a.pass' })).toBe(false);
  expect(hasSourcePassword({ keep: ['users'], passwordRef: null })).toBe(false);
});
