import { shownKey } from './key-text.ts';
import type { KeyRule, SelectorSpec } from './selector-spec.ts';

const NAMED_MAX = 10;
const KEY_BYTES_SHOWN = 100;
/** What is advised (requirements B4); beyond it a selection works, and a warning is given. */
const KEYS_ADVISED = 10;
const PATTERNS_ADVISED = 3;
const CORE_TYPES = new Set(['string', 'list', 'set', 'zset', 'hash', 'stream']);
/** Characters of a module's type name. */
const MODULE_TYPE_LENGTH = 9;

/** One line for reports: `keys "a", "b"; regex x.*; db 0`; at most ten keys are named. */
export function describeSpec(spec: SelectorSpec): string {
  const parts = [
    ...rulesText(spec.include),
    listText('db', spec.dbs ?? []),
    listText('type', spec.types ?? []),
    ...[
      ...rulesText(spec.exclude),
      listText('db', spec.excludeDbs),
      listText('type', spec.excludeTypes),
    ].map((part) => (part === '' ? '' : `not ${part}`)),
  ].filter((part) => part !== '');
  if (spec.include.length === 0) parts.unshift('all keys');
  return parts.join('; ');
}

function rulesText(rules: readonly KeyRule[]): readonly string[] {
  const keys = rules.flatMap((rule) => (rule.kind === 'key' ? [rule.key] : []));
  const named = keys.slice(0, NAMED_MAX).map((key) => {
    const cut = key.length > KEY_BYTES_SHOWN ? '…' : '';
    return `"${shownKey(key, KEY_BYTES_SHOWN)}${cut}"`;
  });
  const more = keys.length > NAMED_MAX ? ` and ${(keys.length - NAMED_MAX).toString()} more` : '';
  const first =
    named.length === 0 ? [] : [`${nameOf('key', keys.length)} ${named.join(', ')}${more}`];
  const patterns = rules.flatMap((rule) =>
    rule.kind === 'key' ? [] : [`${rule.kind} ${shownKey(Buffer.from(rule.pattern))}`],
  );
  const patternsMore = patterns.length - NAMED_MAX;
  return [
    ...first,
    ...patterns.slice(0, NAMED_MAX),
    ...(patternsMore > 0 ? [`${patternsMore.toString()} more patterns`] : []),
  ];
}

function listText(name: string, values: readonly (string | number)[]): string {
  return values.length === 0 ? '' : `${nameOf(name, values.length)} ${values.join(', ')}`;
}

const nameOf = (name: string, count: number): string => (count === 1 ? name : `${name}s`);

/** What is worth a word to the user and is no error. */
export function warningsOf(spec: SelectorSpec): readonly string[] {
  const rules = [...spec.include, ...spec.exclude];
  const keys = rules.reduce((count, { kind }) => count + (kind === 'key' ? 1 : 0), 0);
  const patterns = rules.length - keys;
  const warnings: string[] = [];
  if (keys > KEYS_ADVISED) {
    warnings.push(
      `${keys.toString()} keys are named; up to ${KEYS_ADVISED.toString()} at a time is the advice: more is right too, and can take longer than restoring all`,
    );
  }
  if (patterns > PATTERNS_ADVISED) {
    warnings.push(
      `${patterns.toString()} patterns are given; up to ${PATTERNS_ADVISED.toString()} at a time is the advice: each key is held against every one`,
    );
  }
  for (const type of [...(spec.types ?? []), ...spec.excludeTypes]) {
    if (CORE_TYPES.has(type) || type.length === MODULE_TYPE_LENGTH) continue;
    warnings.push(
      `"${type}" is no type of the server (${[...CORE_TYPES].join(', ')}), and a module's has ${MODULE_TYPE_LENGTH.toString()} characters`,
    );
  }
  return warnings;
}
