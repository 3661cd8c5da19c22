import { FormatError } from '@tidemark/core';
import type { KeyRule, SelectorSpec } from './selector-spec.ts';

/** A selection as plain JSON for a record; keys as base64. */
export function selectorToJson(spec: SelectorSpec): unknown {
  return {
    include: spec.include.map(ruleToJson),
    exclude: spec.exclude.map(ruleToJson),
    dbs: spec.dbs,
    excludeDbs: spec.excludeDbs,
    types: spec.types,
    excludeTypes: spec.excludeTypes,
  };
}

const ruleToJson = (rule: KeyRule): unknown =>
  rule.kind === 'key' ? { key: rule.key.toString('base64') } : { [rule.kind]: rule.pattern };

/**
 * The selection of {@link selectorToJson}. Whether its patterns can be read is told by
 * `compileSelector`.
 * @throws FormatError `TM_SELECTOR_FORMAT` (context: field) when it is not well formed.
 */
export function selectorFromJson(value: unknown): SelectorSpec {
  const fields = objectOf(value, 'selector');
  return {
    include: arrayOf(fields['include'], 'include').map((rule) => ruleFromJson(rule, 'include')),
    exclude: arrayOf(fields['exclude'], 'exclude').map((rule) => ruleFromJson(rule, 'exclude')),
    dbs: fields['dbs'] === null ? null : numbersOf(fields['dbs'], 'dbs'),
    excludeDbs: numbersOf(fields['excludeDbs'], 'excludeDbs'),
    types: fields['types'] === null ? null : textsOf(fields['types'], 'types'),
    excludeTypes: textsOf(fields['excludeTypes'], 'excludeTypes'),
  };
}

function ruleFromJson(value: unknown, field: string): KeyRule {
  const { key, regex, glob } = objectOf(value, field);
  if (typeof key === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(key)) {
    return { kind: 'key', key: Buffer.from(key, 'base64') };
  }
  if (typeof regex === 'string') return { kind: 'regex', pattern: regex };
  if (typeof glob === 'string') return { kind: 'glob', pattern: glob };
  throw malformed(field);
}

function objectOf(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw malformed(field);
  return { ...value };
}

function arrayOf(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(field);
  return value;
}

const numbersOf = (value: unknown, field: string): readonly number[] =>
  arrayOf(value, field).map((each) => {
    if (typeof each !== 'number' || !Number.isSafeInteger(each)) throw malformed(field);
    return each;
  });

const textsOf = (value: unknown, field: string): readonly string[] =>
  arrayOf(value, field).map((each) => {
    if (typeof each !== 'string') throw malformed(field);
    return each;
  });

const malformed = (field: string): FormatError =>
  new FormatError('TM_SELECTOR_FORMAT', `a stored selector whose ${field} is not well formed`, {
    context: { field },
  });
