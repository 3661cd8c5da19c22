import { TidemarkError } from '@tidemark/core';
import { RdbChecker } from '@tidemark/rdb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { damaged, withChecksum } from '../support/hostile/damage.ts';
import { oldRdbs } from '../support/hostile/rdb-corpus.ts';
import { Seeded } from '../support/hostile/seeded.ts';
import { lzfStr, RDB_VECTORS, RdbBuilder } from '../support/rdb-builder.ts';

/** Values of every type; those whose content is made up are refused for it. */
const values = (['redis', 'valkey'] as const).flatMap((product) =>
  RDB_VECTORS[product].map((vector) => ({ product, ...vector })),
);

const file: fc.Arbitrary<Buffer> = fc.oneof(
  fc.constantFrom(...oldRdbs()),
  fc
    .record({
      product: fc.constantFrom('redis' as const, 'valkey' as const),
      picks: fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
    })
    .map(({ product, picks }) => {
      const own = values.filter((value) => value.product === product);
      const builder = new RdbBuilder({ product }).function2('f'.repeat(99)).moduleAux('ReJSON-RL');
      builder.aux('lua', lzfStr('code '.repeat(20))).selectDb(1);
      for (const [at, pick] of picks.entries()) {
        const { type, value } = own[pick % own.length] ?? { type: 0, value: Buffer.of(0) };
        builder.entry({ key: `key ${at}`, type, value });
      }
      return builder.build();
    }),
);

/** What a check ends in: what it found, or code and context of the fault. */
function outcome(chunks: Iterable<Uint8Array>): unknown {
  const checker = new RdbChecker();
  try {
    for (const chunk of chunks) checker.push(chunk);
    return checker.end();
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { code: error.code, context: error.context, key: checker.faultKey?.toString('hex') };
  }
}

function* split(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe('RdbChecker', () => {
  it('finds the same in a file however it is cut, sound or damaged', () => {
    const cut = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(file, fc.nat(), fc.nat({ max: 2 }), cut, (whole, seed, kind, sizes) => {
        const changed = kind === 0 ? whole : damaged(whole, new Seeded(seed));
        const bytes = kind === 2 ? withChecksum(changed) : changed;
        const expected = outcome([bytes]);
        expect(outcome(split(bytes, sizes))).toEqual(expected);
        expect(outcome(split(bytes, [1]))).toEqual(expected);
      }),
      { numRuns: 400 },
    );
  });

  it('refuses every beginning of a file with a typed error', () => {
    for (const whole of oldRdbs()) {
      expect(outcome([whole])).toMatchObject({ keys: 7 });
      for (let end = 0; end < whole.length; end += 1) {
        expect(outcome([whole.subarray(0, end)])).toMatchObject({ code: 'TM_RDB_TRUNCATED' });
      }
    }
  });
});
