import { bytesOf, type ByteSource, collectBytes, TidemarkError } from '@tidemark/core';
import {
  adaptDumpPayload,
  dumpPayload,
  readDumpPayload,
  rewriteRdb,
  type RewriteRdbOptions,
} from '@tidemark/rdb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  int64,
  len,
  listpack,
  lzfStr,
  RDB_VECTORS,
  RdbBuilder,
  type RdbVector,
  str,
} from '../support/rdb-builder.ts';
import { cut, scanChunks } from '../support/rdb-scan.ts';

type Product = 'redis' | 'valkey';
type Field = readonly [name: string, value: string, expiryMs: number | null];

const collect = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 1e9, () => new Error('too much'));

/** Every way in which values change their form. */
const TARGETS: readonly RewriteRdbOptions[] = [
  ...[9, 10, 11, 12, 13, 80].map((version) => ({ version })),
  ...[12, 80].map((version) => ({ version, newExpiry: (ms: number) => (ms % 3 ? ms + 5 : null) })),
  { newExpiry: () => null },
];

const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ maxLength: 5 }).map((part) => `${part}x`.repeat(60)),
);
const fields: fc.Arbitrary<readonly Field[]> = fc.uniqueArray(
  fc.tuple(text, text, fc.option(fc.integer({ min: 1, max: 2 ** 45 }), { nil: null })),
  { selector: ([name]) => name, maxLength: 8 },
);

const stringOf = (value: string): Buffer => (value.length > 60 ? lzfStr(value) : str(value));

function hashValue(form: 22 | 24 | 25, all: readonly Field[]): Buffer {
  const min = Math.min(...all.map(([, , ms]) => ms ?? Infinity));
  const first = Number.isFinite(min) ? min : 0;
  if (form === 25) {
    return Buffer.concat([
      int64(first),
      str(listpack(all.flatMap(([name, value, ms]) => [name, value, ms ?? 0]))),
    ]);
  }
  const head = form === 24 ? [int64(first), len(all.length)] : [len(all.length)];
  const each = all.map(([name, value, ms]) => {
    const pair = [stringOf(name), stringOf(value)];
    return Buffer.concat(
      form === 24 ? [len(ms === null ? 0 : ms - first + 1), ...pair] : [...pair, int64(ms ?? -1)],
    );
  });
  return Buffer.concat([...head, ...each]);
}

/** A reader of the three forms, made without the library: strings stand plain or packed. */
const fieldHash = fc.constantFrom<22 | 24 | 25>(22, 24, 25);

const values = (product: Product): fc.Arbitrary<RdbVector> =>
  fc.oneof(
    fc.constantFrom(...RDB_VECTORS[product].filter(({ value }) => value.length < 900)),
    fields.chain((all) =>
      (product === 'valkey' ? fc.constant<22>(22) : fc.constantFrom<24 | 25>(24, 25)).map(
        (type) => ({
          ...{ name: 'hash', type },
          value: hashValue(type, all),
        }),
      ),
    ),
  );

const file = fc.constantFrom<Product>('redis', 'valkey').chain((product) =>
  fc.array(values(product), { maxLength: 6 }).map((all) => {
    const builder = new RdbBuilder({ product, checksum: 'zero' });
    for (const [at, { type, value }] of all.entries()) {
      builder.entry({ key: `key ${at}`, type, value, ...(at % 2 ? { expiryMs: 1e12 } : {}) });
    }
    return builder;
  }),
);

/** The bytes, or code and place of the fault. */
async function outcome(chunks: Iterable<Uint8Array>, options: RewriteRdbOptions): Promise<unknown> {
  try {
    return (await collect(rewriteRdb(bytesOf(...chunks), options))).toString('hex');
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { code: error.code, offset: error.context.offset };
  }
}

describe('converting an RDB', () => {
  it('gives the same bytes or the same fault for any chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        file,
        fc.constantFrom(...TARGETS),
        fc.integer({ min: 2, max: 40 }),
        async (builder, options, size) => {
          const bytes = builder.build();
          const whole = await outcome([bytes], options);
          expect(await outcome(cut(bytes, 1), options)).toEqual(whole);
          expect(await outcome(cut(bytes, size), options)).toEqual(whole);
          if (typeof whole !== 'string') return;
          const found = scanChunks([Buffer.from(whole, 'hex')]);
          expect(found.entries.map(({ key }) => key)).toEqual(
            builder.entries.map(({ key }) => key),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('never ends a file that is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        file,
        fc.constantFrom(...TARGETS),
        fc.nat(),
        async (builder, options, at) => {
          const bytes = builder.build();
          const part = bytes.subarray(0, at % bytes.length);
          expect(await outcome([part], options)).toHaveProperty('code');
          expect(await outcome(cut(part, 7), options)).toHaveProperty('code');
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ends changed bytes in a file or a typed fault', async () => {
    await fc.assert(
      fc.asyncProperty(
        file,
        fc.constantFrom(...TARGETS),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        async (builder, options, changes) => {
          const bytes = builder.build();
          for (const [place, byte] of changes) bytes[place % (bytes.length - 8)] = byte;
          const whole = await outcome([bytes], options);
          if (typeof whole === 'string') scanChunks([Buffer.from(whole, 'hex')]);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** What a hash holds, read back from the form of Valkey. */
async function fieldsOf(type: 22 | 24 | 25, value: Buffer): Promise<Field[]> {
  const product = type === 22 ? 'valkey' : 'redis';
  const options = { product: 'valkey', version: 80, newExpiry: (ms: number) => ms } as const;
  const payload = await collect(dumpPayload({ product, type }, bytesOf(value), options));
  const { valueStart, valueEnd } = readDumpPayload(payload);
  let at = valueStart + 1;
  const string = (): string => {
    const length = payload[at]! < 0x40 ? payload[at]! : payload.readUInt16BE(at) & 0x3fff;
    at += payload[at]! < 0x40 ? 1 : 2;
    at += length;
    return payload.toString('utf8', at - length, at);
  };
  const found: Field[] = [];
  while (at < valueEnd) {
    const [name, content] = [string(), string()];
    const expiryMs = Number(payload.readBigInt64LE(at));
    at += 8;
    found.push([name, content, expiryMs === -1 ? null : expiryMs]);
  }
  return found;
}

describe('fields with expiries', () => {
  // Strings stand plain here, so that the small reader above understands them.
  const plainFields = fields.map((all) =>
    all.map(([name, value, ms]): Field => [name.slice(0, 15), value.slice(0, 15), ms]),
  );

  it('are the same in every form, there and back', async () => {
    await fc.assert(
      fc.asyncProperty(fieldHash, plainFields, async (form, all) => {
        const value = hashValue(form, all);
        expect(await fieldsOf(form, value)).toEqual(all);
        const product = form === 22 ? 'valkey' : 'redis';
        const redis = { product: 'redis', version: 12 } as const;
        const there = await collect(dumpPayload({ product, type: form }, bytesOf(value), redis));
        const back = adaptDumpPayload(there, { product: 'valkey', version: 80 });
        const { valueStart, valueEnd } = readDumpPayload(back);
        expect(await fieldsOf(22, back.subarray(valueStart, valueEnd))).toEqual(all);
      }),
      { numRuns: 300 },
    );
  });

  it('get the expiries of the rule in every form', async () => {
    const rule = (ms: number): number | null => (ms % 3 === 0 ? null : 2 ** 46 - ms);
    const ruled = (all: readonly Field[]): Field[] =>
      all.map(([name, value, ms]) => [name, value, ms === null ? null : rule(ms)]);
    const byName = (all: readonly Field[]): Field[] =>
      // By all of it: the fields that are drawn may have one name.
      [...all].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    await fc.assert(
      fc.asyncProperty(fieldHash, plainFields, async (form, all) => {
        const product = form === 22 ? 'valkey' : 'redis';
        const target = { product, version: form === 22 ? 80 : 12, newExpiry: rule } as const;
        const value = bytesOf(hashValue(form, all));
        const payload = await collect(dumpPayload({ product, type: form }, value, target));
        const { valueStart, valueEnd, type } = readDumpPayload(payload);
        expect(type).toBe(form);
        const found = await fieldsOf(form, payload.subarray(valueStart, valueEnd));
        // The listpack is put in order anew.
        expect(byName(found)).toEqual(byName(ruled(all)));
      }),
      { numRuns: 300 },
    );
  });
});
