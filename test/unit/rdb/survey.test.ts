import { LargestEntries, RdbScanner, RdbSurvey, VALUE_KINDS, valueKind } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { RDB_VECTORS, RdbBuilder } from '../../support/rdb-builder.ts';
import { Seeded } from '../../support/hostile/seeded.ts';

describe('valueKind()', () => {
  it('tells every type that is read', () => {
    for (const { type, name } of [...RDB_VECTORS.redis, ...RDB_VECTORS.valkey]) {
      const kind = valueKind(type);
      expect(VALUE_KINDS, name).toContain(kind);
      expect(kind === 'module', name).toBe(type === 7);
    }
  });
});

describe('LargestEntries', () => {
  it('keeps the largest of each kind, of equal ones the first', () => {
    const random = new Seeded(4);
    const builder = new RdbBuilder().selectDb(0);
    for (let at = 0; at < 500; at += 1) builder.string(`k${at}`, 'v'.repeat(random.below(40)));
    builder.entry({ key: 'h', type: 4, value: Buffer.of(1, 1, 97, 1, 98), expiryMs: 7 });
    const largest = new LargestEntries(20);
    const scanner = new RdbScanner((batch) => {
      largest.addBatch(batch);
    });
    scanner.push(builder.build());
    const expected = builder.entries
      .filter(({ type }) => type === 0)
      .sort((a, b) => b.bytes - a.bytes || a.offset - b.offset)
      .slice(0, 20);
    expect(largest.list('string')).toEqual(
      expected.map(({ db, key, type, bytes, expiryMs, offset }) => ({
        ...{ kind: 'string', type, db, key, keyBytes: key.length, bytes, expiryMs, offset },
      })),
    );
    expect(largest.list('hash')).toMatchObject([{ kind: 'hash', expiryMs: 7, keyBytes: 1 }]);
    expect(largest.list('list')).toEqual([]);
  });
});

describe('RdbSurvey', () => {
  it('counts keys, expiries and bytes by kind and names the largest entry', () => {
    const builder = new RdbBuilder().selectDb(1).string('a', 'x'.repeat(50));
    builder
      .entry({ key: 'b', expiryMs: 5 })
      .entry({ key: 'l', type: 1, value: Buffer.of(1, 1, 97) });
    const survey = new RdbSurvey();
    expect(survey.largest).toBe(null);
    const scanner = new RdbScanner((batch) => {
      survey.addBatch(batch);
    });
    scanner.push(builder.build());
    const [a, b, l] = builder.entries.map(({ bytes }) => bytes) as [number, number, number];
    expect(survey.kinds).toEqual([
      { kind: 'string', keys: 2, expires: 1, bytes: a + b },
      { kind: 'list', keys: 1, expires: 0, bytes: l },
    ]);
    expect(survey.largest).toMatchObject({ db: 1, key: Buffer.from('a'), bytes: a });
  });
});
