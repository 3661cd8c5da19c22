import {
  Opener,
  SealedDigest,
  Sealer,
  decodeIdentity,
  encodeIdentity,
  openBytes,
  openRange,
  parseSealedHeader,
  type DataKey,
  type SealOptions,
} from '@tidemark/crypto';
import { TidemarkError, collectBytes } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../support/crypto-ports.ts';
import { inChunks, patternBytes } from '../support/pattern.ts';

const dataKey: DataKey = { id: '0f'.repeat(16), key: patternBytes(32, 5) };
const identity = { iid: 'orders', start: '12' };
const ask = { keyOf: () => dataKey, kind: 2, identity } as const;

const optionsOf = (): SealOptions => ({
  ...{ dataKey, kind: 2, compression: 0, identity, chunkLog2: 12 },
  random: seededRandom('same salt'),
});

/** Lengths of pushes: tiny, about a chunk, several chunks. */
const splits = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 4000, max: 4200 }), fc.nat(20_000)),
  { maxLength: 30 },
);

function* inSplits(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}

function seal(plain: Buffer, sizes: readonly number[]): { bytes: Buffer; digest: string } {
  const sealer = new Sealer(optionsOf());
  const pieces = [sealer.begin()];
  for (const part of inSplits(plain, sizes)) pieces.push(...sealer.push(part));
  pieces.push(...sealer.end());
  return { bytes: Buffer.concat(pieces), digest: sealer.digest() };
}

const lengths = fc.oneof(fc.nat(20_000), fc.constantFrom(0, 4095, 4096, 4097, 8192, 12_288));

describe('sealed container', () => {
  it('is the same for every split of the plain bytes', () => {
    fc.assert(
      fc.property(lengths, splits, (length, sizes) => {
        const plain = patternBytes(length);
        expect(seal(plain, sizes)).toEqual(seal(plain, []));
      }),
    );
  });

  it('opens to the same bytes and digest for every split of the sealed bytes', () => {
    fc.assert(
      fc.property(lengths, splits, (length, sizes) => {
        const plain = patternBytes(length);
        const { bytes, digest } = seal(plain, []);
        const opener = new Opener(ask);
        const keyless = new SealedDigest();
        const opened: Buffer[] = [];
        for (const part of inSplits(bytes, sizes)) {
          opened.push(...opener.push(part));
          keyless.push(part);
        }
        opened.push(...opener.end());
        expect(Buffer.concat(opened).equals(plain)).toBe(true);
        expect([opener.digest(), keyless.end()]).toEqual([digest, digest]);
      }),
    );
  });

  it('opens any range to the bytes of the whole', async () => {
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 9000 }),
        async (...p) => {
          const [length, a, b, step] = p;
          const plain = patternBytes(length);
          const { bytes } = seal(plain, []);
          const header = parseSealedHeader(bytes);
          if (typeof header === 'number') throw new Error('the header is whole');
          const [start = 0, end = 0] = [a % (length + 1), b % (length + 1)].sort((x, y) => x - y);
          const read = (from: number, to: number) => inChunks(bytes.subarray(from, to), step);
          const range = openRange({ read, header, dataKey, sealedSize: bytes.length, start, end });
          const opened = await collectBytes(range, 1e6, () => new Error('too much'));
          expect(opened.equals(plain.subarray(start, end))).toBe(true);
        },
      ),
    );
  });

  it('refuses random edits with an error of its own', () => {
    const { bytes } = seal(patternBytes(5000), []);
    const edit = fc.record({
      at: fc.nat(bytes.length - 1),
      remove: fc.nat(40),
      insert: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let changed: Buffer = bytes;
        for (const { at, remove, insert } of edits) {
          const tail = changed.subarray(at + remove);
          changed = Buffer.concat([changed.subarray(0, at), insert, tail]);
        }
        fc.pre(!changed.equals(bytes));
        let caught: unknown = null;
        try {
          openBytes(changed, ask);
        } catch (error) {
          caught = error;
        }
        expect(caught).toBeInstanceOf(TidemarkError);
        expect((caught as TidemarkError).code).toMatch(/^TM_SEAL_/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('identity', () => {
  const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/);
  const value = fc.string({ unit: 'grapheme', maxLength: 20 });
  const identities = fc.dictionary(name, value, { maxKeys: 8 });

  it('decodes to what was encoded, whatever the order of the names', () => {
    fc.assert(
      fc.property(identities, (one) => {
        const turned = Object.fromEntries(Object.entries(one).reverse());
        expect(encodeIdentity(turned).equals(encodeIdentity(one))).toBe(true);
        expect(Object.entries(decodeIdentity(encodeIdentity(one))).sort()).toEqual(
          Object.entries(one).sort(),
        );
      }),
    );
  });

  it('has one encoding: what decodes encodes to the same bytes', () => {
    fc.assert(
      fc.property(identities, fc.nat(), fc.nat(255), (one, at, byte) => {
        const bytes = encodeIdentity(one);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        let decoded;
        try {
          decoded = decodeIdentity(bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: 'FormatError' });
          return;
        }
        expect(encodeIdentity(decoded).equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
