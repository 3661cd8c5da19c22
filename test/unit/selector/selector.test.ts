import { compileSelector, type SelectorSpec } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { glob, keyRule, refusalOf, regex, specOf } from '../../support/selector/selecting.ts';

const KEYS = ['a', 'b', 'ab', 'user:1', 'user:2', ''];
const selected = (part: Partial<SelectorSpec>, db = 0): string[] => {
  const selector = compileSelector(specOf(part));
  return KEYS.filter((key) => selector.matches(db, Buffer.from(key)));
};

describe('compileSelector()', () => {
  it('selects what something includes and nothing excludes', () => {
    const include = [keyRule('a'), regex('user:.'), glob('?b')];
    expect(selected({ include })).toEqual(['a', 'ab', 'user:1', 'user:2']);
    expect(selected({ include, exclude: [keyRule('user:2'), glob('a')] })).toEqual([
      'ab',
      'user:1',
    ]);
    expect(selected({ include: [keyRule('')] })).toEqual(['']);
    expect(selected({ include: [keyRule('user')] })).toEqual([]);
  });

  it('selects all but what is excluded when nothing is included', () => {
    expect(selected({ exclude: [regex('user.*')] })).toEqual(['a', 'b', 'ab', '']);
    expect(selected({ exclude: [keyRule('')] })).toEqual(['a', 'b', 'ab', 'user:1', 'user:2']);
    expect(selected({ excludeTypes: ['hash'] })).toEqual(KEYS);
  });

  it('heeds databases', () => {
    expect(selected({ dbs: [1, 3] }, 3)).toEqual(KEYS);
    expect(selected({ dbs: [1, 3] }, 0)).toEqual([]);
    expect(selected({ include: [keyRule('a')], excludeDbs: [0] })).toEqual([]);
    expect(selected({ include: [keyRule('a')], excludeDbs: [0] }, 1)).toEqual(['a']);
    const selector = compileSelector(specOf({ dbs: [1, 2], excludeDbs: [2] }));
    expect([0, 1, 2].map((db) => selector.matchesDb(db))).toEqual([false, true, false]);
  });

  it('leaves types to the one who knows them', () => {
    const all = compileSelector(specOf({ dbs: [0] }));
    expect(all.hasTypes).toBe(false);
    expect(all.matchesType('hash')).toBe(true);
    const some = compileSelector(specOf({ types: ['hash', 'set'], excludeTypes: ['set'] }));
    expect(some.hasTypes).toBe(true);
    expect(['hash', 'set', 'list'].map((type) => some.matchesType(type))).toEqual([
      true,
      false,
      false,
    ]);
    expect(some.matches(0, Buffer.from('a'))).toBe(true);
    expect(compileSelector(specOf({ excludeTypes: ['set'] })).hasTypes).toBe(true);
  });

  it('looks at a part of a buffer only', () => {
    const data = Buffer.from('xxuser:1yy');
    for (const rule of [keyRule('user:1'), regex('user:.'), glob('u*1')]) {
      const selector = compileSelector(specOf({ include: [rule] }));
      expect(selector.matches(0, data, 2, 8)).toBe(true);
      expect(selector.matches(0, data, 2, 9)).toBe(false);
      expect(selector.matches(0, data, 1, 8)).toBe(false);
      expect(selector.matches(0, data)).toBe(false);
    }
  });

  it('tells keys of one hash, length and start apart', () => {
    const keys = Array.from({ length: 20_000 }, (_, n) => `k:${(n * 2).toString(36)}`);
    const selector = compileSelector(specOf({ include: keys.map(keyRule) }));
    const found = (odd: number): number =>
      keys.filter((_, n) => selector.matches(0, Buffer.from(`k:${(n * 2 + odd).toString(36)}`)))
        .length;
    expect([found(0), found(1)]).toEqual([20_000, 0]);
  });

  it('keeps its own copy of the keys', () => {
    const key = Buffer.from('abc');
    const selector = compileSelector(specOf({ include: [{ kind: 'key', key }] }));
    key.fill('z');
    expect(selector.matches(0, Buffer.from('abc'))).toBe(true);
  });
});

describe('Selector.literals', () => {
  const literals = (part: Partial<SelectorSpec>): string[] | null =>
    compileSelector(specOf(part)).literals?.map(String) ?? null;

  it('are all keys that can match, each once and in order, when only keys include', () => {
    const include = [keyRule('b'), keyRule('a'), keyRule('b'), keyRule('c')];
    expect(literals({ include })).toEqual(['b', 'a', 'c']);
    expect(literals({ include, exclude: [glob('[ax]')] })).toEqual(['b', 'c']);
    expect(literals({ include, exclude: [keyRule('b')], excludeTypes: ['set'] })).toEqual([
      'a',
      'c',
    ]);
  });

  it('are null when a pattern, or nothing, includes', () => {
    expect(literals({ include: [keyRule('b'), glob('a')] })).toBeNull();
    expect(literals({ exclude: [keyRule('b')] })).toBeNull();
    expect(literals({ dbs: [1] })).toBeNull();
  });
});

describe('an empty selection', () => {
  it.each<readonly [string, Partial<SelectorSpec>]>([
    ['nothing is named', {}],
    ['no database', { dbs: [], include: [keyRule('a')] }],
    ['no type', { types: [], include: [keyRule('a')] }],
    ['an empty regex', { include: [regex('')] }],
    ['an empty glob to leave out', { exclude: [glob('')] }],
    ['a database both ways', { dbs: [1], excludeDbs: [1] }],
    ['a type both ways', { types: ['set'], excludeTypes: ['set'] }],
    ['a key both ways', { include: [keyRule('ab')], exclude: [glob('a*')] }],
  ])('is refused: %s', (_, part) => {
    const error = refusalOf(() => compileSelector(specOf(part)));
    expect(error.code).toBe('TM_SELECTOR_EMPTY');
    expect(error.exitCode).toBe(2);
    expect(error.hint).toContain('--key');
  });
});

describe('Selector.warnings', () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, n) => keyRule(`k${n.toString()}`));

  it('say when more keys, patterns or other types are given than is advised', () => {
    const warnings = (part: Partial<SelectorSpec>) => compileSelector(specOf(part)).warnings;
    expect(warnings({ include: many(10) })).toEqual([]);
    expect(warnings({ include: many(11) })).toEqual([expect.stringContaining('11 keys')]);
    expect(warnings({ include: many(6), exclude: many(5) })).toHaveLength(1);
    const three = [regex('a'), glob('b'), glob('c')];
    expect(warnings({ include: three })).toEqual([]);
    expect(warnings({ include: three, exclude: [regex('d')] })).toEqual([
      expect.stringContaining('4 patterns'),
    ]);
    expect(warnings({ types: ['zset', 'ReJSON-RL'] })).toEqual([]);
    expect(warnings({ excludeTypes: ['hashes'] })).toEqual([expect.stringContaining('"hashes"')]);
  });

  it('never name more than ten keys in the description', () => {
    expect(compileSelector(specOf({ include: many(12) })).describe()).toBe(
      'keys "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9" and 2 more',
    );
  });
});

describe('Selector.describe()', () => {
  it.each<readonly [Partial<SelectorSpec>, string]>([
    [{ include: [keyRule('a\n')] }, 'key "a\\x0a"'],
    [
      { include: [keyRule('a'), keyRule('b'), regex('x.*'), glob('y*')], dbs: [0] },
      'keys "a", "b"; regex x.*; glob y*; db 0',
    ],
    [
      {
        exclude: [keyRule('a'), glob('*')],
        excludeDbs: [1, 2],
        types: ['set'],
        excludeTypes: ['hash'],
      },
      'all keys; type set; not key "a"; not glob *; not dbs 1, 2; not type hash',
    ],
    [{ include: [keyRule('k'.repeat(101))] }, `key "${'k'.repeat(100)}…"`],
    [
      { include: Array.from({ length: 12 }, () => glob('g')) },
      `${Array.from({ length: 10 }, () => 'glob g').join('; ')}; 2 more patterns`,
    ],
  ])('says it in one line', (part, line) => {
    expect(compileSelector(specOf(part)).describe()).toBe(line);
  });
});
