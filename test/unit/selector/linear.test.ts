import { describe, expect, it } from 'vitest';
import {
  GlobPattern,
  RegexPattern,
  type KeyPattern,
} from '../../../libs/selector/src/pattern/key-pattern.ts';

/** Texts on which a matcher that tries one way after the other takes powers of the length. */
const CORPUS: readonly (readonly [
  kind: 'regex' | 'glob',
  pattern: string,
  text: (length: number) => string,
  fits: boolean,
])[] = [
  ['regex', `${'a*'.repeat(30)}b`, (length) => 'a'.repeat(length), false],
  ['regex', `${'.*'.repeat(30)}x`, (length) => 'a'.repeat(length), false],
  ['regex', `${'.*a'.repeat(30)}x`, (length) => 'a'.repeat(length), false],
  ['regex', `${'[^b]*'.repeat(30)}b`, (length) => 'a'.repeat(length), false],
  ['regex', `${'[^b]*'.repeat(30)}b`, (length) => `${'a'.repeat(length)}b`, true],
  ['regex', `${'a?'.repeat(40)}${'a'.repeat(40)}`, (length) => 'a'.repeat(length), false],
  ['regex', `${'a?'.repeat(500)}${'a'.repeat(500)}`, (length) => 'a'.repeat(length), false],
  ['regex', `[ab]*a${'[ab]'.repeat(20)}c`, (length) => noise(length, 'ab'), false],
  ['regex', `.*é${'.'.repeat(20)}c`, (length) => noise(length, 'aé'), false],
  ['regex', `[^x]*\\xff${'[^x]'.repeat(20)}x`, (length) => noise(length, 'aé'), false],
  ['glob', `${'*a'.repeat(4)}*b`, (length) => 'a'.repeat(length), false],
  ['glob', `${'*a'.repeat(40)}*b`, (length) => 'a'.repeat(length), false],
  ['glob', `*a${'?'.repeat(20)}c`, (length) => noise(length, 'ab'), false],
  ['glob', `${'*?'.repeat(40)}*`, (length) => noise(length, 'ab'), true],
];

/** The same characters for every run, without a period that a machine could settle into. */
function noise(length: number, alphabet: string): string {
  const characters = Array.from(alphabet);
  let state = 1;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return characters[(state >>> 16) % characters.length]!;
  }).join('');
}

const compile = (kind: 'regex' | 'glob', pattern: string): KeyPattern =>
  kind === 'regex' ? new RegexPattern(pattern) : new GlobPattern(pattern);

/** Steps for one key: one for each byte, and the edges that were looked at. */
function stepsFor(pattern: KeyPattern, text: string): { fits: boolean; steps: number } {
  const data = Buffer.from(text);
  const before = pattern.work;
  const fits = pattern.fits(data, 0, data.length);
  return { fits, steps: data.length + pattern.work - before };
}

describe('patterns that defeat a backtracking matcher', () => {
  const named = CORPUS.map((entry) => [entry[1].slice(0, 24), entry] as const);

  it.each(named)('%s… costs eight times the steps for eight times the key', (_, entry) => {
    const [kind, source, text, fits] = entry;
    const few = stepsFor(compile(kind, source), text(2_000));
    const many = stepsFor(compile(kind, source), text(16_000));
    expect(few.fits).toBe(fits);
    expect(many.fits).toBe(fits);
    // One in ten more: the longer text may meet bytes that the shorter one did not.
    expect(many.steps).toBeLessThan(few.steps * 8 * 1.1);
  });

  it('a byte never costs more than all edges of the pattern, though its states do not fit memory', () => {
    const parts = 24;
    const pattern = compile('regex', `[ab]*a${'[ab]'.repeat(parts - 3)}b`);
    const text = noise(50_000, 'ab');
    const { fits, steps } = stepsFor(pattern, text);
    expect(fits).toBe(text.at(-parts + 1) === 'a' && text.endsWith('b'));
    expect(steps).toBeLessThan(text.length * (1 + 2 * parts));
    const again = Buffer.from(`${text}a${'b'.repeat(parts - 2)}`);
    expect(pattern.fits(again, 0, again.length)).toBe(true);
    expect(pattern.fits(again, 0, again.length - 1)).toBe(text.endsWith('a'));
  });

  it('costs one look-up for each byte once its steps are known', () => {
    const pattern = compile('regex', 'user:[0-9]*:ca?rt');
    stepsFor(pattern, 'user:0123456789:cart');
    stepsFor(pattern, 'user:0123456789:crt');
    expect(stepsFor(pattern, 'user:9999999999:cart')).toEqual({ fits: true, steps: 20 });
  });
});
