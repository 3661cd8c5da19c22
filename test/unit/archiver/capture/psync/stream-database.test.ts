import { bytesOf } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { streamDatabase } from '../../../../../services/archiver/src/capture/psync/stream-database.ts';
import { RdbBuilder } from '../../../../support/rdb-builder.ts';

const NAME = 'repl-stream-db';
const builder = (): RdbBuilder => new RdbBuilder({ version: 11 }).aux('redis-ver', '8.0.0');

describe('streamDatabase()', () => {
  it.each([0, 7, 300, 70_000])('reads database %i, wherever chunks end', async (db) => {
    const rdb = builder().aux(NAME, db.toString()).aux('ctime', '1').selectDb(2).build();
    expect(await streamDatabase(bytesOf(rdb))).toBe(db);
    expect(await streamDatabase(bytesOf(...[...rdb].map((byte) => Buffer.of(byte))))).toBe(db);
  });

  it('reads it where the server writes it as a number', async () => {
    const name = Buffer.concat([Buffer.of(0xfa, NAME.length), Buffer.from(NAME)]);
    for (const [value, db] of [
      [Buffer.of(0xc0, 9), 9],
      [Buffer.of(0xc1, 0x2c, 0x01), 300],
      [Buffer.of(0xc2, 0x70, 0x11, 0x01, 0), 70_000],
    ] as const) {
      const rdb = Buffer.concat([Buffer.from('REDIS0011'), name, value, Buffer.of(0xff)]);
      expect(await streamDatabase(bytesOf(rdb))).toBe(db);
    }
  });

  it('is 0 where the RDB does not say, ends early, or says nonsense', async () => {
    const whole = builder().aux(NAME, '5').build();
    const cut = whole.subarray(0, whole.indexOf(NAME) + 4);
    for (const rdb of [builder().selectDb(2).build(), cut, builder().aux(NAME, '-3').build()]) {
      expect(await streamDatabase(bytesOf(rdb))).toBe(0);
    }
  });
});
