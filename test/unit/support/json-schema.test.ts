import { expect, it } from 'vitest';
import { schemaFault } from '../../support/json-schema.ts';

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['id'],
  properties: {
    id: { type: 'string', pattern: '^[a-z]+$', maxLength: 4 },
    size: { type: ['integer', 'null'], minimum: 1 },
    tags: { type: 'array', maxItems: 2, items: { enum: ['a', 'b'] } },
    to: { anyOf: [{ const: 'live' }, { type: 'object', required: ['at'] }] },
  },
};

it.each([
  [{ id: 'a' }, null],
  [{ id: 'a', size: null, tags: ['a', 'b'], to: { at: 1 } }, null],
  [[], 'at /: is not "object"'],
  [{}, 'at /: lacks id'],
  [{ id: 'A' }, 'at /id: is not as ^[a-z]+$'],
  [{ id: 'abcde' }, 'at /id: is too long'],
  [{ id: 'a', size: 0 }, 'at /size: is too small'],
  [{ id: 'a', size: 1.5 }, 'at /size: is not ["integer","null"]'],
  [{ id: 'a', tags: ['c'] }, 'at /tags/0: is none of the values'],
  [{ id: 'a', tags: ['a', 'a', 'a'] }, 'at /tags: has too many'],
  [{ id: 'a', to: 'dead' }, 'at /to: fits none of the shapes'],
  [{ id: 'a', other: 1 }, 'at /: has other, which is not known'],
])('schemaFault() of %j is %s', (value, fault) => {
  expect(schemaFault(SCHEMA, value)).toBe(fault);
});

it('schemaFault() throws for a rule that it does not know', () => {
  expect(() => schemaFault({ not: {} }, 1)).toThrow('not cannot be looked at');
});
