import { parseManifest } from '@tidemark/aof';
import { FormatError } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** Quotes as the server does (redis src/sds.c, sdscatrepr). */
const quote = (name: string): string =>
  `"${[...Buffer.from(name)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`;

const fileName = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((name) => !/[\u0000-\u001f\u007f/\\]/.test(name) && name !== '.' && name !== '..')
  .filter((name) => Buffer.from(name).toString() === name);

describe('parseManifest()', () => {
  it('reads back what a server would write', () => {
    fc.assert(
      fc.property(
        fc.option(fileName),
        fc.array(fileName, { maxLength: 5 }),
        fc.array(fc.tuple(fileName, fc.integer({ min: 1, max: 100 })), { maxLength: 5 }),
        (base, history, steps) => {
          let seq = 0;
          const incr = steps.map(([name, step]) => ({ name, seq: (seq += step) }));
          const text = [
            ...(base === null ? [] : [`file ${quote(base)} seq 1 type b\n`]),
            ...history.map((name) => `file ${quote(name)} seq 1 type h\n`),
            ...incr.map((file) => `file ${quote(file.name)} seq ${file.seq} type i\n`),
          ].join('');
          fc.pre(text !== '');
          const parsed = parseManifest(Buffer.from(text));
          expect(parsed.base?.name ?? null).toBe(base);
          expect(parsed.history.map(({ name }) => name)).toEqual(history);
          expect(parsed.incr.map(({ name, seq: at }) => ({ name, seq: at }))).toEqual(incr);
        },
      ),
    );
  });

  it('ends in a manifest or a typed error, whatever the bytes', () => {
    const word = fc.constantFrom(
      'file ',
      'seq ',
      'type ',
      '"',
      "'",
      '\\',
      'i',
      '1',
      '\n',
      '#',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string())), (parts) => {
        try {
          const { incr } = parseManifest(Buffer.from(parts.join('')));
          for (const { name } of incr) expect(name).not.toMatch(/[/\\\0]|^\.\.?$/);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});
