import { describe, expect, it } from 'vitest';
import { keyMeta, len, RDB_VECTORS, RdbBuilder, str } from '../../support/rdb-builder.ts';
import { scanChunks } from '../../support/rdb-scan.ts';

const summaryOf = (builder: RdbBuilder) => scanChunks([builder.build()]).summary;

describe('the summary of an RDB', () => {
  it('counts keys, expiries, types and databases', () => {
    const builder = new RdbBuilder({ version: 11 })
      .aux('redis-ver', '7.2.4')
      .aux('ctime', Buffer.of(0xc2, 0, 0, 0, 1))
      .function2('code')
      .selectDb(5)
      .entry({ key: 'a', expiryMs: 1 })
      .entry({ key: 'b', type: 2, value: Buffer.concat([len(1), str('m')]) })
      .selectDb(2)
      .entry({ key: 'c', value: str('x'.repeat(500)), expirySeconds: 1 })
      .selectDb(5)
      .entry({ key: 'd' })
      .selectDb(9);
    const bytes = builder.build();
    expect(summaryOf(builder)).toEqual({
      product: 'redis',
      version: 11,
      bytes: bytes.length,
      keys: 4,
      expires: 2,
      maxDb: 9,
      databases: [
        { db: 2, keys: 1, expires: 1 },
        { db: 5, keys: 3, expires: 1 },
      ],
      types: { '0': 3, '2': 1 },
      minVersion: 10,
      functions: 1,
      modules: [],
      aux: { 'redis-ver': '7.2.4', ctime: '16777216' },
      fieldTtl: false,
      keyMeta: 0,
      largestEntryBytes: 510,
      checksum: 'verified',
    });
  });

  it('of an empty file has no database', () => {
    const summary = summaryOf(new RdbBuilder({ version: 10 }));
    expect(summary).toMatchObject({ keys: 0, maxDb: -1, databases: [], types: {}, minVersion: 9 });
  });

  it.each([
    ...[
      [0, 9],
      [7, 9],
      [15, 9],
      [16, 10],
      [18, 10],
      [19, 10],
      [20, 11],
      [21, 11],
    ],
    ...[
      [24, 12],
      [25, 12],
      [26, 13],
    ],
  ] as [number, number][])('type %i needs version %i', (type, minVersion) => {
    const vector = RDB_VECTORS.redis.find((one) => one.type === type)!;
    const builder = new RdbBuilder({ version: 9 }).selectDb(0);
    builder.entry({ key: 'k', type, value: vector.value });
    const fieldTtl = type === 24 || type === 25;
    expect(summaryOf(builder)).toMatchObject({ version: 9, minVersion, fieldTtl });
  });

  it('a Valkey file without own types needs the version both products share', () => {
    const builder = new RdbBuilder({ product: 'valkey' }).selectDb(0);
    const value = RDB_VECTORS.valkey.find(({ type }) => type === 22)!.value;
    builder.entry({ key: 'k', type: 20, value: str('x') });
    expect(summaryOf(builder)).toMatchObject({ minVersion: 11, fieldTtl: false });
    builder.entry({ key: 'l', type: 22, value });
    expect(summaryOf(builder)).toMatchObject({ minVersion: 80, fieldTtl: true });
  });

  it('functions need version 10, metadata of keys 13, slot hints nothing', () => {
    expect(summaryOf(new RdbBuilder().function2('x')).minVersion).toBe(10);
    expect(summaryOf(new RdbBuilder().selectDb(0).slotInfo(1, 1, 0)).minVersion).toBe(9);
    const meta = new RdbBuilder().selectDb(0).entry({ key: 'k', keyMeta: keyMeta() });
    expect(summaryOf(meta)).toMatchObject({ minVersion: 13, keyMeta: 1 });
  });

  it('names modules once, whichever way they appear', () => {
    const builder = new RdbBuilder().moduleAux('vectorset').selectDb(0);
    const { value } = RDB_VECTORS.redis.find(({ type }) => type === 7)!;
    builder.entry({ key: 'a', type: 7, value }).entry({ key: 'b', type: 7, value });
    expect(summaryOf(builder.moduleAux('vectorset')).modules).toEqual(['vectorset', 'ReJSON-RL']);
  });

  it('keeps short AUX fields that are facts, no scripts, hints or floods', () => {
    const builder = new RdbBuilder()
      .aux('lua', 'return 1')
      .aux('slot-info', '1,2,3')
      .aux('__proto__', 'own')
      .aux('long', 'x'.repeat(1024))
      .aux('fits', 'x'.repeat(1023));
    for (let at = 0; at < 100; at += 1) builder.aux(`field${at}`, 'x');
    const { aux } = summaryOf(builder);
    expect(Object.keys(aux)).toHaveLength(64);
    expect(Object.keys(aux).slice(0, 3)).toEqual(['__proto__', 'fits', 'field0']);
    expect(aux).not.toHaveProperty('lua');
  });

  it('survives JSON', () => {
    const summary = summaryOf(new RdbBuilder().selectDb(1).entry({ key: 'k', expiryMs: 4 }));
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });
});
