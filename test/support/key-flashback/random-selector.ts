import type { KeyRule, SelectorSpec } from '@tidemark/selector';
import type { Dice } from '../workload/dice.ts';
import type { KeyState } from './key-oracle.ts';

/** A selector, and an own reading of it to hold it against. */
export interface RandomSelector {
  readonly spec: SelectorSpec;
  /** Whether its excludes alone leave a key out. */
  readonly excludes: (key: Buffer) => boolean;
  readonly selects: (state: Pick<KeyState, 'db' | 'key' | 'type'>) => boolean;
}

/** Patterns that mean something to the names of the dependency workload. */
const REGEXES: readonly string[] = [
  ...['user:.*', 'user:.*:name', 'user:[0-9]*:cart', 'user:[37]:.*', 'user:[^3].*', '.*:12:.*'],
  ...['tags:[0-9]*', 'tags:4?1', 'hll-.*', 'weight:[1-4]*', 'board/.*5', 'place.3', '.*[37]'],
  ...['events:.*', 'list of ids .*', 'session:.*', '[a-l].*'],
];
const GLOBS: readonly string[] = [
  ...['user:*', 'user:*:cart', 'user:?:*', 'tags:*', 'tags:[1-4]*', '*:3*', '*12*', 'board/*'],
  ...['h[l]l-*', 'place.*', 'session*', 'events:{*}', 'list of ids ?', '*bits*', 'weight:??'],
];
const TYPES: readonly string[] = ['string', 'list', 'set', 'zset', 'hash', 'stream'];

/** A selector of a kind drawn at random: literals, patterns, databases, types, excludes, mixtures. */
export function randomSelector(
  dice: Dice,
  states: readonly KeyState[],
  databases: number,
): RandomSelector {
  const db = (): number => dice.between(0, databases - 1);
  const literal = (): KeyRule => ({ kind: 'key', key: dice.pick(states).key });
  const rules: readonly (() => KeyRule)[] = [
    literal,
    () => ({ kind: 'regex', pattern: dice.pick(REGEXES) }),
    () => ({ kind: 'glob', pattern: dice.pick(GLOBS) }),
  ];
  const draw = (from: readonly (() => KeyRule)[], most: number): KeyRule[] =>
    Array.from({ length: dice.between(1, most) }, () => dice.pick(from)());
  const plain = { include: [], exclude: [], dbs: null, excludeDbs: [], ...noTypes };
  const shapes: readonly (() => SelectorSpec)[] = [
    () => ({ ...plain, include: draw([literal], 1) }),
    () => ({ ...plain, include: draw([literal], 4), dbs: dice.once(2) ? [db()] : null }),
    () => ({ ...plain, include: draw(rules.slice(1, 2), 2) }),
    () => ({ ...plain, include: draw(rules.slice(2), 2) }),
    () => ({ ...plain, dbs: [db()] }),
    () => ({ ...plain, types: [dice.pick(TYPES), dice.pick(TYPES)] }),
    () => ({ ...plain, dbs: [db()], exclude: draw(rules, 2), excludeTypes: [dice.pick(TYPES)] }),
    () => ({ ...plain, include: draw(rules, 3), exclude: draw(rules, 2) }),
    () => ({ ...plain, include: draw(rules, 2), excludeDbs: [db()], types: dice.pick(TYPE_LISTS) }),
    () => ({
      ...plain,
      include: [...draw(rules, 2), { kind: 'key', key: Buffer.from('user:99:cart') }],
    }),
  ];
  for (;;) {
    const selector = readSelector(dice.pick(shapes)());
    if (!isRefused(selector)) return selector;
  }
}

/** Keys by name all of which are excluded again: a selection of nothing is an error. */
function isRefused({ spec, excludes }: RandomSelector): boolean {
  const names = spec.include.filter((rule) => rule.kind === 'key');
  if (names.length === 0 || names.length < spec.include.length) return false;
  return names.every(({ key }) => excludes(key));
}

const noTypes = { types: null, excludeTypes: [] } as const;
const TYPE_LISTS: readonly (readonly string[] | null)[] = [null, ['string'], ['list', 'set']];

/** The meaning of a selector, by means of its own: JavaScript patterns on Latin-1 text. */
export function readSelector(spec: SelectorSpec): RandomSelector {
  const include = spec.include.map(matcherOf);
  const exclude = spec.exclude.map(matcherOf);
  const excludes = (key: Buffer): boolean => exclude.some((matches) => matches(key));
  return {
    spec,
    excludes,
    selects({ db, key, type }) {
      if (spec.dbs?.includes(db) === false || spec.excludeDbs.includes(db)) return false;
      if (spec.types?.includes(type) === false || spec.excludeTypes.includes(type)) return false;
      if (excludes(key)) return false;
      return include.length === 0 || include.some((matches) => matches(key));
    },
  };
}

function matcherOf(rule: KeyRule): (key: Buffer) => boolean {
  if (rule.kind === 'key') return (key) => key.equals(rule.key);
  const pattern = rule.kind === 'regex' ? rule.pattern : fromGlob(rule.pattern);
  const compiled = new RegExp(`^(?:${pattern})$`);
  return (key) => compiled.test(key.toString('latin1'));
}

function fromGlob(glob: string): string {
  return glob.replace(/\[[^\]]*\]|[^]/g, (part) => {
    if (part === '*') return '[^]*';
    if (part === '?') return '[^]';
    return part.length > 1 ? part : part.replace(/[\\^$.|+(){}[\]/]/, '\\$&');
  });
}

/** A selector in words, for the message of a failure. */
export function describeSpec(spec: SelectorSpec): string {
  return JSON.stringify(spec, (name, value: unknown) => {
    const isKey = name === 'key' && typeof value === 'object' && value !== null && 'data' in value;
    return isKey ? Buffer.from((value as { data: number[] }).data).toString('latin1') : value;
  });
}

/** Keys by name, in every database. */
export function selectKeys(keys: readonly string[]): RandomSelector {
  const include = keys.map((key): KeyRule => ({ kind: 'key', key: Buffer.from(key) }));
  return readSelector({ include, exclude: [], dbs: null, excludeDbs: [], ...noTypes });
}
