import { UsageError } from '@tidemark/core';
import { describeSpec, warningsOf } from './describe.ts';
import { KeySet } from './literal/key-set.ts';
import { GlobPattern, RegexPattern, type KeyPattern } from './pattern/key-pattern.ts';
import type { KeyRule, SelectorSpec } from './selector-spec.ts';

/** A selection that is ready to be held against keys. */
export interface Selector {
  readonly spec: SelectorSpec;
  /**
   * Whether a key of a database is selected, its type left aside. The key lies in `data` from
   * `start` to `end` (exclusive; default: all of it). Time is linear in the key; no object is made.
   */
  matches(db: number, data: Buffer, start?: number, end?: number): boolean;
  matchesDb(db: number): boolean;
  /** Whether a key's type matters. */
  readonly hasTypes: boolean;
  /** @param type - As the command TYPE answers it. */
  matchesType(type: string): boolean;
  /** All keys that can match when only literals include (excluded ones taken off), else null. */
  readonly literals: readonly Buffer[] | null;
  /** Sentences for the user, in plain words. */
  readonly warnings: readonly string[];
  /** One line for reports; keys printable, at most ten named. */
  describe(): string;
}

/**
 * Makes a selection ready.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position); `TM_SELECTOR_EMPTY` when nothing at
 *   all is named, or all that is named is excluded.
 */
export function compileSelector(spec: SelectorSpec): Selector {
  if (spec.dbs?.length === 0) throw empty('no database is named');
  if (spec.types?.length === 0) throw empty('no type is named');
  const isOpen = spec.include.length === 0 && spec.dbs === null && spec.types === null;
  const excludes = spec.exclude.length + spec.excludeDbs.length + spec.excludeTypes.length;
  if (isOpen && excludes === 0) throw empty('no key is named');
  const selector = new KeySelector(spec);
  if (spec.dbs?.every((db) => !selector.matchesDb(db)) === true) {
    throw empty('every database that is named is excluded too');
  }
  if (spec.types?.every((type) => !selector.matchesType(type)) === true) {
    throw empty('every type that is named is excluded too');
  }
  if (selector.literals?.length === 0) throw empty('every key that is named is excluded too');
  return selector;
}

function empty(what: string): UsageError {
  return new UsageError('TM_SELECTOR_EMPTY', `the selection is empty: ${what}`, {
    hint: 'name keys: --key, --regex, --glob, --keys-file; or --db, --type; see docs/selectors.md',
  });
}

class KeySelector implements Selector {
  readonly spec: SelectorSpec;
  readonly warnings: readonly string[];
  readonly hasTypes: boolean;
  readonly #include: Rules | null;
  readonly #exclude: Rules | null;
  readonly #dbs: ReadonlySet<number> | null;
  readonly #excludeDbs: ReadonlySet<number>;
  #literals: readonly Buffer[] | null | undefined;

  constructor(spec: SelectorSpec) {
    this.spec = spec;
    this.warnings = warningsOf(spec);
    this.hasTypes = spec.types !== null || spec.excludeTypes.length > 0;
    this.#include = spec.include.length === 0 ? null : new Rules(spec.include);
    this.#exclude = spec.exclude.length === 0 ? null : new Rules(spec.exclude);
    this.#dbs = spec.dbs === null ? null : new Set(spec.dbs);
    this.#excludeDbs = new Set(spec.excludeDbs);
  }

  get literals(): readonly Buffer[] | null {
    this.#literals ??= this.#include?.onlyKeys === true ? this.#namedKeys(this.#include) : null;
    return this.#literals;
  }

  matches(db: number, data: Buffer, start = 0, end = data.length): boolean {
    if (!this.matchesDb(db)) return false;
    if (this.#include !== null && !this.#include.fit(data, start, end)) return false;
    return this.#exclude === null || !this.#exclude.fit(data, start, end);
  }

  matchesDb(db: number): boolean {
    return (this.#dbs === null || this.#dbs.has(db)) && !this.#excludeDbs.has(db);
  }

  matchesType(type: string): boolean {
    const { types, excludeTypes } = this.spec;
    return (types === null || types.includes(type)) && !excludeTypes.includes(type);
  }

  describe(): string {
    return describeSpec(this.spec);
  }

  /** The keys that are included and not excluded, each once. */
  #namedKeys(include: Rules): readonly Buffer[] {
    const exclude = this.#exclude;
    if (exclude === null) return include.keys;
    return include.keys.filter((key) => !exclude.fit(key, 0, key.length));
  }
}

/** Rules of which one must fit. */
class Rules {
  /** The keys among them, each once. */
  readonly keys: readonly Buffer[];
  readonly #keySet: KeySet | null;
  readonly #patterns: readonly KeyPattern[];

  constructor(rules: readonly KeyRule[]) {
    const keys: Buffer[] = [];
    const patterns: KeyPattern[] = [];
    for (const rule of rules) {
      if (rule.kind === 'key') keys.push(rule.key);
      else patterns.push(patternOf(rule));
    }
    this.#keySet = keys.length === 0 ? null : new KeySet(keys);
    this.keys = this.#keySet?.distinct(keys) ?? [];
    this.#patterns = patterns;
  }

  get onlyKeys(): boolean {
    return this.#patterns.length === 0;
  }

  fit(data: Buffer, start: number, end: number): boolean {
    if (this.#keySet?.has(data, start, end) === true) return true;
    for (let at = 0; at < this.#patterns.length; at += 1) {
      if ((this.#patterns[at] as KeyPattern).fits(data, start, end)) return true;
    }
    return false;
  }
}

function patternOf({ kind, pattern }: Exclude<KeyRule, { kind: 'key' }>): KeyPattern {
  if (pattern === '') {
    throw new UsageError('TM_SELECTOR_EMPTY', `an empty ${kind} names nothing`, {
      hint: "the key without a byte is --key ''",
    });
  }
  return kind === 'regex' ? new RegexPattern(pattern) : new GlobPattern(pattern);
}
