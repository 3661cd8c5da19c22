import {
  compileSelector,
  keyOfText,
  shownKey,
  type KeyRule,
  type Selector,
} from '@tidemark/selector';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  anyBytes,
  anyPlaces,
  anyText,
  overBytes,
  overCharacters,
  written,
} from '../support/selector/any-regex.ts';
import { globFits } from '../support/selector/glob-reference.ts';
import { glob, regex, specOf } from '../support/selector/selecting.ts';

const compiled = (rule: KeyRule): Selector => compileSelector(specOf({ include: [rule] }));

describe('regex', () => {
  it('fits what an expression of the language fits, for keys that are UTF-8', () => {
    fc.assert(
      fc.property(anyPlaces, fc.array(anyText, { minLength: 5, maxLength: 20 }), (places, keys) => {
        const selector = compiled(regex(written(places)));
        const wanted = overCharacters(places);
        for (const key of keys) {
          expect([key, selector.matches(0, Buffer.from(key))]).toEqual([key, wanted.test(key)]);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('fits what an expression over bytes fits, for keys that are not', () => {
    fc.assert(
      fc.property(
        anyPlaces,
        fc.array(anyBytes, { minLength: 5, maxLength: 20 }),
        (places, keys) => {
          const selector = compiled(regex(written(places)));
          const wanted = overBytes(places);
          for (const key of keys) {
            const text = key.toString('latin1');
            expect([text, selector.matches(0, key)]).toEqual([text, wanted.test(text)]);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('is read or refused at a place within it, whatever is written', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('ab[]^-*?.\\x0+(é')), minLength: 1 }),
        (text) => {
          try {
            compiled(regex(text)).matches(0, Buffer.from('a'));
          } catch (error) {
            expect(error).toMatchObject({ code: 'TM_SELECTOR_SYNTAX' });
            const { position } = (error as { context: { position: number } }).context;
            expect(position).toBeGreaterThanOrEqual(0);
            expect(position).toBeLessThanOrEqual(Array.from(text).length);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('glob', () => {
  it('fits what trying one way after the other finds', () => {
    const pattern = fc.string({
      unit: fc.constantFrom(...Array.from('ab-]^[\\*?é')),
      minLength: 1,
      maxLength: 8,
    });
    const key = fc
      .array(fc.constantFrom(0x61, 0x62, 0x2d, 0x5d, 0x5b, 0x5c, 0x5e, 0xc3, 0xa9), {
        maxLength: 7,
      })
      .map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(pattern, fc.array(key, { minLength: 5, maxLength: 20 }), (text, keys) => {
        const selector = compiled(glob(text));
        for (const each of keys) {
          expect([each, selector.matches(0, each)]).toEqual([
            each,
            globFits(Buffer.from(text), each),
          ]);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the text of a key', () => {
  it('gives its bytes back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.string({ unit: 'binary' })), (bytes) => {
        const key = Buffer.from(bytes as string);
        expect(keyOfText(shownKey(key)).equals(key)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('keys by name', () => {
  it('are those of the list, no others', () => {
    const keys = fc.array(
      fc.uint8Array({ maxLength: 3, max: 3 }).map((key) => Buffer.from(key)),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(keys, keys, (named, asked) => {
        const selector = compileSelector(
          specOf({ include: named.map((key): KeyRule => ({ kind: 'key', key })) }),
        );
        const names = new Set(named.map((key) => key.toString('hex')));
        for (const key of asked)
          expect(selector.matches(0, key)).toBe(names.has(key.toString('hex')));
        expect(selector.literals?.map((key) => key.toString('hex'))).toEqual([...names]);
      }),
      { numRuns: 500 },
    );
  });
});
