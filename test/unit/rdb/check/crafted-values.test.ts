import { RdbChecker } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { CRAFTED_VALUES } from '../../../support/hostile/crafted-values.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';

/** Checks a file with the value, in pieces of `size` bytes. @returns Offset of the value. */
function check(type: number, value: Buffer, size: number): number {
  const builder = new RdbBuilder({ version: 13 }).selectDb(2).entry({ key: 'k', type, value });
  const bytes = builder.string('after', 'x').build();
  const checker = new RdbChecker();
  for (let at = 0; at < bytes.length; at += size) checker.push(bytes.subarray(at, at + size));
  expect(checker.end()).toMatchObject({ keys: 2, valuesChecked: 2 });
  return builder.entries[0]?.valueOffset ?? 0;
}

describe('RdbChecker', () => {
  it.each(CRAFTED_VALUES.filter(({ refused }) => refused === 'nobody'))(
    'lets $name pass',
    ({ type, value }) => {
      expect(check(type, value, 1)).toBe(check(type, value, 1 << 20));
    },
  );

  it.each(CRAFTED_VALUES.filter(({ refused }) => refused !== 'nobody'))(
    'refuses $name',
    ({ type, value }) => {
      for (const size of [1, 1 << 20]) {
        expect(() => check(type, value, size)).toThrow(
          expect.objectContaining({
            code: 'TM_RDB_VALUE',
            context: expect.objectContaining({ db: 2, type }) as unknown,
          }),
        );
      }
    },
  );
});
