import { UsageError } from '@tidemark/core';
import { compileSelector, type KeyRule, type SelectorSpec } from '@tidemark/selector';

/** A whole selection of which a test says only a part. */
export const specOf = (part: Partial<SelectorSpec>): SelectorSpec => ({
  include: [],
  exclude: [],
  dbs: null,
  excludeDbs: [],
  types: null,
  excludeTypes: [],
  ...part,
});

export const keyRule = (key: string | Buffer): KeyRule => ({
  kind: 'key',
  key: Buffer.from(key as string),
});

/** Which of the keys one rule selects. */
export function selects(rule: KeyRule, ...keys: readonly (string | Buffer)[]): boolean[] {
  const selector = compileSelector(specOf({ include: [rule] }));
  return keys.map((key) => selector.matches(0, Buffer.from(key as string)));
}

export const regex = (pattern: string): KeyRule => ({ kind: 'regex', pattern });
export const glob = (pattern: string): KeyRule => ({ kind: 'glob', pattern });

/** The refusal of a call that must be refused. */
export function refusalOf(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
