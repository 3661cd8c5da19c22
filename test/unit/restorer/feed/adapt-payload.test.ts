import type { TargetDialect } from '@tidemark/aof';
import { Crc64 } from '@tidemark/core';
import { readDumpPayload } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { adaptPayloadFor } from '../../../../services/restorer/src/feed/adapt-payload.ts';
import type { TtlRule } from '../../../../services/restorer/src/plan/ttl-rule.ts';
import { int64, len, listpack, str } from '../../../support/rdb-builder.ts';

const T = 1_700_000_000_000;
const ABSOLUTE: TtlRule = { mode: 'absolute', atMs: T, nowMs: T + 1000 };

const target = (product: 'redis' | 'valkey', versionNumber: number): TargetDialect => ({
  ...{ product, versionNumber, databases: 16, commands: null },
});
const REDIS_6 = target('redis', 6_00_16);
const REDIS_7 = target('redis', 7_00_15);
const REDIS_8 = target('redis', 8_00_06);
const VALKEY_9 = target('valkey', 9_01_02);

function payload(version: number, ...parts: readonly Buffer[]): Buffer {
  const signed = Buffer.concat([...parts, Buffer.of(version, 0)]);
  const crc = new Crc64();
  crc.update(signed);
  return Buffer.concat([signed, crc.digestBytes()]);
}

const TEXT = payload(12, Buffer.of(0), str('value'));
const SET = payload(12, Buffer.of(20), str(listpack(['a', 'b'])));
const FIELDS = payload(
  12,
  Buffer.of(25),
  int64(T + 5),
  str(listpack(['f', 'v', T + 5, 'g', 'w', 0])),
);
const LIBRARY = Buffer.concat([Buffer.of(245), str('#!lua name=l')]);

/** Version of the footer and value, the checksum proven. */
function read(bytes: unknown): { version: number; body: Buffer } {
  const found = bytes as Buffer;
  const { version, checksum } = readDumpPayload(found);
  expect(checksum).toBe('verified');
  return { version, body: found.subarray(0, -10) };
}

describe('adaptPayloadFor()', () => {
  it('leaves alone what the target takes', () => {
    for (const bytes of [TEXT, SET, FIELDS]) {
      expect(adaptPayloadFor(REDIS_8, ABSOLUTE)(bytes, 'value')).toBeNull();
    }
    const functions = payload(10, LIBRARY);
    expect(adaptPayloadFor(VALKEY_9, ABSOLUTE)(functions, 'functions')).toBeNull();
  });

  it('lowers the footer where the value may stay', () => {
    const text = read(adaptPayloadFor(VALKEY_9, ABSOLUTE)(TEXT, 'value'));
    expect(text).toEqual({ version: 1, body: TEXT.subarray(0, -10) });
    const set = read(adaptPayloadFor(VALKEY_9, ABSOLUTE)(SET, 'value'));
    expect(set).toEqual({ version: 11, body: SET.subarray(0, -10) });
    const functions = adaptPayloadFor(REDIS_7, ABSOLUTE)(payload(12, LIBRARY), 'functions');
    expect(functions).toEqual(payload(10, LIBRARY));
  });

  it('converts a value whose type the target lacks', () => {
    const set = read(adaptPayloadFor(REDIS_6, ABSOLUTE)(SET, 'value'));
    expect(set.body).toEqual(Buffer.concat([Buffer.of(2), len(2), str('a'), str('b')]));
    const fields = read(adaptPayloadFor(VALKEY_9, ABSOLUTE)(FIELDS, 'value'));
    const hash = [len(2), str('f'), str('v'), int64(T + 5), str('g'), str('w'), int64(-1)];
    expect(fields).toEqual({ version: 80, body: Buffer.concat([Buffer.of(22), ...hash]) });
  });

  it('gives fields the expiries of the TTL rule', () => {
    const remaining = adaptPayloadFor(REDIS_8, { ...ABSOLUTE, mode: 'remaining' });
    const moved = [int64(T + 1005), str(listpack(['f', 'v', T + 1005, 'g', 'w', 0]))];
    expect(read(remaining(FIELDS, 'value')).body).toEqual(Buffer.concat([Buffer.of(25), ...moved]));
    const persist = adaptPayloadFor(REDIS_8, { ...ABSOLUTE, mode: 'persist' });
    const none = [int64(0), str(listpack(['f', 'v', 0, 'g', 'w', 0]))];
    expect(read(persist(FIELDS, 'value')).body).toEqual(Buffer.concat([Buffer.of(25), ...none]));
    expect(persist(SET, 'value')).toBeNull();
  });

  it.each([
    ['expiries of fields', REDIS_7, FIELDS, 'value', 'HASH_LISTPACK_EX|expiry'],
    ['functions', REDIS_6, payload(10, LIBRARY), 'functions', 'functions'],
    ['a type of Redis 8.8', REDIS_7, payload(14, Buffer.of(28), len(0)), 'value', 'ARRAY'],
    ['a payload that is cut', REDIS_7, Buffer.from('short'), 'value', 'cut short'],
    [
      'a damaged one',
      REDIS_7,
      Buffer.concat([TEXT.subarray(0, -1), Buffer.of(1)]),
      'value',
      'checksum',
    ],
  ] as const)('refuses %s by name', (_name, into, bytes, holds, why) => {
    const answer = adaptPayloadFor(into, ABSOLUTE)(bytes, holds);
    expect(answer).toEqual({ refused: expect.stringMatching(why) as string });
  });
});
