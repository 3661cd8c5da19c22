import { selectorFromJson, selectorToJson } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { glob, keyRule, regex, specOf } from '../../support/selector/selecting.ts';

const WHOLE = specOf({
  include: [keyRule(Buffer.from([0, 255])), keyRule(''), regex('a.*\\x00')],
  exclude: [glob('é*')],
  dbs: [0, 15],
  excludeDbs: [3],
  types: ['hash'],
  excludeTypes: ['ReJSON-RL'],
});

describe('selectorToJson(), selectorFromJson()', () => {
  it.each([WHOLE, specOf({ exclude: [keyRule('x')] })])('give a selection back', (spec) => {
    const stored: unknown = JSON.parse(JSON.stringify(selectorToJson(spec)));
    expect(selectorFromJson(stored)).toEqual(spec);
  });

  it.each<readonly [string, string, unknown]>([
    ['selector', 'selector', null],
    ['selector', 'selector', 7],
    ['include', 'include', 'a'],
    ['include', 'include', [null]],
    ['include', 'include', [{}]],
    ['include', 'include', [{ key: 'not base64!' }]],
    ['exclude', 'exclude', [{ regex: 1 }]],
    ['dbs', 'dbs', [1.5]],
    ['dbs', 'dbs', undefined],
    ['excludeDbs', 'excludeDbs', null],
    ['types', 'types', [1]],
    ['excludeTypes', 'excludeTypes', {}],
  ])('refuse a record whose %s is not well formed', (_, field, value) => {
    const record: unknown =
      field === 'selector' ? value : { ...(selectorToJson(WHOLE) as object), [field]: value };
    expect(() => selectorFromJson(record)).toThrow(
      expect.objectContaining({ code: 'TM_SELECTOR_FORMAT', context: { field } }),
    );
  });
});
