import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeDocument,
  encodeDocument,
} from '../../../../services/restorer/src/feeder/process/document.ts';
import { Lines } from '../../../../services/restorer/src/feeder/process/lines.ts';

const there = (value: unknown): unknown => decodeDocument(encodeDocument(value));

/** What the two processes say to each other: also what JSON has no form for. */
const plain = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('$bigint', '$map', '$')), tie('any'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
    fc.array(fc.tuple(fc.integer(), tie('any')), { maxLength: 3 }).map((pairs) => new Map(pairs)),
    fc.array(fc.string(), { maxLength: 3 }).map((items) => new Set(items)),
  ),
}));

describe('a document between two processes', () => {
  it('is one line, and says the same at the other end', () => {
    fc.assert(
      fc.property(plain.any, (value) => {
        const line = encodeDocument(value);
        expect(line.indexOf('\n')).toBe(line.length - 1);
        expect(decodeDocument(line)).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps names that look like its own', () => {
    const value = { $bigint: '1', more: { $bytes: 'QQ==' }, $object: [['a', 1]] };
    expect(there(value)).toEqual(value);
    expect(there({ aux: { $map: 'text' } })).toEqual({ aux: { $map: 'text' } });
  });

  it('keeps a large offset and bytes that are no text', () => {
    const value = { offset: 2n ** 63n, key: Buffer.from([0, 0x80, 0xff, 0x0a]) };
    expect(there(value)).toEqual(value);
  });
});

describe('Lines', () => {
  it('gives whole lines, however they are cut', () => {
    const text = Buffer.from('a\n\nüber\nrest');
    for (let size = 1; size <= text.length; size += 1) {
      const lines = new Lines(10);
      const found: string[] = [];
      for (let at = 0; at < text.length; at += size) {
        found.push(...lines.push(text.subarray(at, at + size)));
      }
      expect(found).toEqual(['a', '', 'über']);
    }
  });

  it('refuses a line that is too long, before its end has come', () => {
    const lines = new Lines(4);
    expect(lines.push(Buffer.from('1234\n12'))).toEqual(['1234']);
    expect(() => lines.push(Buffer.from('345'))).toThrow(
      expect.objectContaining({ code: 'TM_LIMIT', context: { bytes: 5, bytesMax: 4 } }),
    );
  });
});
