import { bytesOf, type ByteSource, collectBytes, TidemarkError } from '@tidemark/core';
import { RdbScanner, rewriteRdb } from '@tidemark/rdb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type EntryParts,
  intStr,
  keyMeta,
  lzfStr,
  RDB_VECTORS,
  RdbBuilder,
  str,
} from '../support/rdb-builder.ts';
import { countChunks, cut, scanChunks } from '../support/rdb-scan.ts';

type Product = 'redis' | 'valkey';

/** A key as its bytes and as it is written: plain, in a long form, packed, or an integer. */
const key: fc.Arbitrary<Pick<EntryParts, 'key' | 'keyBytes'>> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }).map((bytes) => ({ key: bytes })),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => ({ key: bytes, keyBytes: str(bytes, '64') })),
  fc.string({ maxLength: 30 }).map((text) => {
    const padded = text.padEnd(text.length + 40, '0');
    return { key: padded, keyBytes: lzfStr(padded) };
  }),
  fc.integer().map((value) => ({ key: String(value), keyBytes: intStr(value) })),
);

const entryOf = (product: Product): fc.Arbitrary<EntryParts> =>
  fc
    .record({
      key,
      vector: fc.constantFrom(...RDB_VECTORS[product].filter(({ value }) => value.length < 900)),
      expiryMs: fc.option(fc.integer({ min: 0, max: 2 ** 42 }), { nil: undefined }),
      hint: fc.constantFrom('none', 'idle', 'frequency'),
      seconds: fc.boolean(),
      meta: product === 'redis' ? fc.integer({ min: -8, max: 2 }) : fc.constant(-1),
    })
    .map(({ key: keyParts, vector, expiryMs, hint, seconds, meta }) => ({
      ...keyParts,
      ...{ type: vector.type, value: vector.value },
      ...(expiryMs === undefined
        ? {}
        : seconds
          ? { expirySeconds: expiryMs % 2 ** 31 }
          : { expiryMs }),
      ...(hint === 'idle' ? { idle: 1000 } : {}),
      ...(hint === 'frequency' ? { frequency: 200 } : {}),
      ...(meta >= 0 ? { keyMeta: keyMeta(meta) } : {}),
    }));

type Step = (builder: RdbBuilder) => void;

const stepOf = (product: Product): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: entryOf(product).map(
        (parts): Step =>
          (one) =>
            one.entry(parts),
      ),
    },
    fc.nat({ max: 100_000 }).map(
      (db): Step =>
        (one) =>
          one.selectDb(db),
    ),
    fc.nat().map(
      (keys): Step =>
        (one) =>
          one.resizeDb(keys, keys >> 1),
    ),
    fc.string({ maxLength: 80 }).map(
      (text): Step =>
        (one) =>
          one.aux(text, text),
    ),
    fc.string({ maxLength: 200 }).map(
      (code): Step =>
        (one) =>
          one.function2(code),
    ),
    fc.constant<Step>((one) => one.moduleAux('vectorset')),
    fc.nat({ max: 16383 }).map(
      (slot): Step =>
        (one) =>
          product === 'redis' ? one.slotInfo(slot, 1, 0) : one.slotImport('job', [0, slot]),
    ),
  );

const file: fc.Arbitrary<RdbBuilder> = fc
  .constantFrom<Product>('redis', 'valkey')
  .chain((product) =>
    fc.record({
      product: fc.constant(product),
      steps: fc.array(stepOf(product), { maxLength: 12 }),
    }),
  )
  .map(({ product, steps }) => {
    const builder = new RdbBuilder({ product });
    for (const step of steps) step(builder);
    return builder;
  });

/** Cuts at the given places (taken modulo the length). */
function* cutAt(bytes: Buffer, places: readonly number[]): Generator<Buffer> {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort(
    (a, b) => a - b,
  );
  let from = 0;
  for (const place of [...sorted, bytes.length]) {
    yield bytes.subarray(from, place);
    from = place;
  }
}

const places = fc.array(fc.nat(), { maxLength: 8 });
const collect = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 1e9, () => new Error('too much'));

describe('scanning an RDB', () => {
  it('finds every entry, whatever the chunks', () => {
    fc.assert(
      fc.property(file, places, (builder, at) => {
        const bytes = builder.build();
        const whole = scanChunks([bytes]);
        expect(whole.entries).toEqual(builder.entries);
        expect(scanChunks(cutAt(bytes, at))).toEqual(whole);
        expect(scanChunks(cut(bytes, 1))).toEqual(whole);
        for (const chunks of [[bytes], cutAt(bytes, at), cut(bytes, 1)]) {
          expect(countChunks(chunks)).toEqual(whole.summary);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('finds every truncation', () => {
    fc.assert(
      fc.property(file, (builder) => {
        const bytes = builder.build();
        for (let length = 0; length < bytes.length; length += 1) {
          const scanner = new RdbScanner();
          scanner.push(bytes.subarray(0, length));
          expect(faultOf(() => scanner.end())).toMatchObject({
            code: 'TM_RDB_TRUNCATED',
            context: { offset: length },
          });
        }
      }),
      { numRuns: 25 },
    );
  });

  it('never takes a file with one changed byte for whole', () => {
    fc.assert(
      fc.property(
        file,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        places,
        (builder, place, mask, at) => {
          const bytes = builder.build();
          bytes[place % bytes.length]! ^= mask;
          const fault = faultOf(() => scanChunks(cutAt(bytes, at)));
          expect(fault).toBeInstanceOf(TidemarkError);
        },
      ),
      { numRuns: 800 },
    );
  });

  it('ends damaged files without a checksum in a result or a typed error, the same for all chunks', () => {
    fc.assert(
      fc.property(
        file,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 }),
        (builder, changes) => {
          const bytes = builder.build();
          bytes.fill(0, bytes.length - 8);
          for (const [place, byte] of changes) bytes[place % bytes.length] = byte;
          const whole = outcome(() => scanChunks([bytes]));
          expect(outcome(() => scanChunks(cut(bytes, 1)))).toEqual(whole);
          const summary = 'summary' in whole ? whole.summary : whole;
          expect(outcome(() => countChunks([bytes]))).toEqual(summary);
          expect(outcome(() => countChunks(cut(bytes, 1)))).toEqual(summary);
        },
      ),
      { numRuns: 800 },
    );
  });
});

/** What a scan gives, or the fault it ends with. */
function outcome<T extends object>(scan: () => T): T | TidemarkError['context'] {
  try {
    return scan();
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { code: error.code, ...error.context };
  }
}

function faultOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return null;
}

describe('rewriting an RDB', () => {
  it('keeps the chosen entries byte for byte, whatever the chunks', async () => {
    await fc.assert(
      fc.asyncProperty(file, places, fc.nat(), async (builder, at, salt) => {
        const bytes = builder.build();
        const chosen = (db: number, name: Buffer): boolean => (db + name.length + salt) % 3 > 0;
        const options = { keepKey: chosen };
        const output = await collect(rewriteRdb(bytesOf(bytes), options));
        expect(
          (await collect(rewriteRdb(bytesOf(...cutAt(bytes, at)), options))).equals(output),
        ).toBe(true);
        const raw = (
          from: Buffer,
          { offset, bytes: length }: { offset: number; bytes: number },
        ): string => from.toString('hex', offset, offset + length);
        const found = scanChunks([output]);
        const kept = builder.entries.filter(({ db, key: name }) => chosen(db, name));
        expect(found.entries.map((entry) => raw(output, entry))).toEqual(
          kept.map((entry) => raw(bytes, entry)),
        );
        expect(found.entries.map(({ db }) => db)).toEqual(kept.map(({ db }) => db));
      }),
      { numRuns: 150 },
    );
  });

  it('changes expiries and nothing else, and is at rest when done twice', async () => {
    await fc.assert(
      fc.asyncProperty(file, places, async (builder, at) => {
        const options = { newExpiry: (ms: number) => (ms % 2 === 0 ? null : ms) };
        const chunks = cutAt(builder.build(), at);
        const output = await collect(rewriteRdb(bytesOf(...chunks), options));
        expect((await collect(rewriteRdb(bytesOf(output), options))).equals(output)).toBe(true);
        const expected = builder.entries.map(({ key: name, db, type, expiryMs }) => ({
          ...{ key: name, db, type },
          expiryMs: expiryMs !== null && expiryMs % 2 === 0 ? null : expiryMs,
        }));
        const found = scanChunks([output]).entries;
        expect(
          found.map(({ key: name, db, type, expiryMs }) => ({ key: name, db, type, expiryMs })),
        ).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });
});
