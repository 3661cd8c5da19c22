import { TidemarkError } from '@tidemark/core';
import { type RdbCheck, RdbChecker } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import {
  double,
  int64,
  len,
  lzfStr,
  moduleId,
  moduleItems,
  RdbBuilder,
  str,
} from '../../../support/rdb-builder.ts';
import { type ListpackItem, listpack } from '../../../support/rdb-encode.ts';

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const packed = (...items: readonly ListpackItem[]): Buffer => str(listpack(items));

function check(type: number, value: Buffer, product: 'redis' | 'valkey' = 'redis'): RdbCheck {
  const builder = new RdbBuilder({ product }).selectDb(3).entry({ key: 'k\n', type, value });
  const checker = new RdbChecker();
  checker.push(builder.string('after', 'x').build());
  return checker.end();
}

/** The fault of a value, its offset counted from the first byte of the value. */
function fault(type: number, value: Buffer, product: 'redis' | 'valkey' = 'redis'): object {
  const builder = new RdbBuilder({ product }).selectDb(3).entry({ key: 'k\n', type, value });
  const { valueOffset = 0 } = builder.entries[0] ?? {};
  const checker = new RdbChecker();
  try {
    checker.push(builder.build());
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    expect(checker.faultKey?.toString()).toBe('k\n');
    expect(error.context).toMatchObject({ db: 3, type });
    expect(() => {
      checker.push(Buffer.of(0));
    }).toThrow(error);
    expect(() => checker.end()).toThrow(error);
    const { offset, within } = error.context;
    return { code: error.code, at: Number(offset) - valueOffset, within, message: error.message };
  }
  throw new Error('nothing was thrown');
}

const VALUE = 'TM_RDB_VALUE';
const intset = (width: number, count: number, ...members: readonly number[]): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(width, 0);
  head.writeUInt32LE(count, 4);
  const bytes = members.map((member) => {
    const one = Buffer.alloc(width);
    if (width === 8) one.writeBigInt64LE(BigInt(member));
    else one.writeIntLE(member, 0, width);
    return one;
  });
  return str(cat(head, ...bytes));
};

/** A ziplist of short strings. */
function ziplist(items: readonly string[], count = items.length): Buffer {
  let before = 0;
  let tail = 10;
  const entries = items.map((item) => {
    const entry = cat(Buffer.of(before, item.length), Buffer.from(item));
    tail += before;
    before = entry.length;
    return entry;
  });
  const head = Buffer.alloc(10);
  const body = cat(...entries);
  head.writeUInt32LE(body.length + 11, 0);
  head.writeUInt32LE(tail, 4);
  head.writeUInt16LE(count, 8);
  return str(cat(head, body, Buffer.of(0xff)));
}

const node = (...entries: readonly ListpackItem[]): Buffer => packed(...entries);
/** One entry `1-0` with the field a and value b, as its node's master says. */
const goodNode = node(1, 0, 1, 'a', 0, 2, 0, 0, 'b', 4);
const id = (seed: number): Buffer => Buffer.alloc(16, seed);

interface Group {
  readonly pending?: readonly Buffer[];
  readonly consumers?: readonly (readonly [string, readonly Buffer[]])[];
}

function stream(
  nodes: readonly (readonly [Buffer, Buffer])[],
  ...groups: readonly [string, Group][]
): Buffer {
  return cat(
    ...[len(nodes.length), ...nodes.flatMap(([key, value]) => [str(key), value])],
    ...[len(nodes.length), len(1), len(0), len(groups.length)],
    ...groups.flatMap(([name, { pending = [], consumers = [] }]) => [
      ...[str(name), len(0), len(0), len(pending.length)],
      ...pending.flatMap((entry) => [entry, int64(0), len(1)]),
      len(consumers.length),
      ...consumers.flatMap(([consumer, own]) => [
        ...[str(consumer), int64(0), len(own.length), ...own],
      ]),
    ]),
  );
}

describe('RdbChecker looks into values', () => {
  it.each<[string, number, Buffer]>([
    ['a packed string', 0, lzfStr('a'.repeat(99))],
    ['a list', 1, cat(len(2), str('a'), str('a'))],
    ['a set', 2, cat(len(2), str('a'), str('b'))],
    ['text scores', 3, cat(len(2), str('a'), str('1.5'), str('b'), Buffer.of(254))],
    ['a hash', 4, cat(len(1), str('f'), str('v'))],
    ['scores', 5, cat(len(2), str('a'), double(-Infinity), str('b'), double(1e300))],
    ['a zipmap', 9, str(Buffer.from([1, 1, 97, 1, 2, 98, 0, 0, 255]))],
    ['a list as ziplist', 10, ziplist(['a', 'b', 'a'])],
    ['an intset', 11, intset(8, 3, -(2 ** 40), 5, 2 ** 40)],
    ['a sorted set as ziplist', 12, ziplist(['a', '1'])],
    ['a hash as ziplist', 13, ziplist(['f', 'v', 'g', 'v'])],
    ['a quicklist', 14, cat(len(2), ziplist([]), ziplist(['a']))],
    ['a hash as listpack', 16, packed('f', 'v', 'g', -5)],
    ['a sorted set as listpack', 17, packed('a', 1)],
    ['a quicklist 2', 18, cat(len(2), len(1), str('plain'), len(2), packed('a', 70_000))],
    ['a set as listpack', 20, packed('a', 1, 2n ** 60n, 'x'.repeat(5000))],
    ['a module value', 7, cat(moduleId('ReJSON-RL', 3), moduleItems())],
    ['fields with expiry', 24, cat(int64(5), len(1), len(1), str('f'), str('v'))],
    ['packed fields with expiry', 25, cat(int64(5), packed('f', 'v', 5, 'g', 'v', 0))],
    [
      'a stream with a group',
      15,
      stream(
        [[id(1), goodNode]],
        [
          'g',
          {
            pending: [id(1), id(2)],
            consumers: [
              ['a', [id(1)]],
              ['b', [id(2)]],
              ['c', []],
            ],
          },
        ],
      ),
    ],
    ['an empty stream', 15, stream([], ['g', {}])],
  ])('and finds %s whole', (_, type, value) => {
    expect(check(type, value)).toMatchObject({ keys: 2, valuesChecked: 2, valuesPassed: 0 });
  });

  it.each<[string, number, Buffer, object]>([
    [
      'a compressed string of another length',
      0,
      cat(Buffer.of(0xc3, 2, 5, 0, 97)),
      { code: 'TM_RDB_STRING', at: 0 },
    ],
    ['an empty list', 1, len(0), { code: VALUE, at: 0 }],
    ['an empty set', 2, len(0), { code: VALUE, at: 0 }],
    ['a member twice', 2, cat(len(2), str('a'), str('a')), { code: VALUE, at: 3 }],
    [
      'a member twice in two forms',
      2,
      cat(len(2), str('7'), Buffer.of(0xc0, 7)),
      { code: VALUE, at: 3 },
    ],
    [
      'a field twice',
      4,
      cat(len(2), str('f'), str('v'), str('f'), str('w')),
      { code: VALUE, at: 5 },
    ],
    ['a score that is no number', 5, cat(len(1), str('a'), double(NaN)), { code: VALUE, at: 3 }],
    ['a text score of NaN', 3, cat(len(1), str('a'), Buffer.of(253)), { code: VALUE, at: 3 }],
    ['a text score that is text', 3, cat(len(1), str('a'), str('x')), { code: VALUE, at: 3 }],
    [
      'a zipmap with a field twice',
      9,
      str(Buffer.from([2, 1, 97, 0, 0, 1, 97, 0, 0, 255])),
      { code: VALUE, within: 5 },
    ],
    [
      'a zipmap with another count',
      9,
      str(Buffer.from([2, 1, 97, 1, 0, 98, 255])),
      { code: VALUE, within: 0 },
    ],
    ['an empty ziplist', 10, ziplist([]), { code: VALUE, within: 0 }],
    ['a ziplist with another count', 10, ziplist(['a'], 2), { code: VALUE, within: 8 }],
    ['an odd ziplist of pairs', 13, ziplist(['a']), { code: VALUE, within: 0 }],
    ['an empty intset', 11, intset(2, 0), { code: VALUE, within: 4 }],
    ['an intset that does not ascend', 11, intset(4, 2, 5, 5), { code: VALUE, within: 12 }],
    ['an intset of an odd width', 11, intset(3, 1, 5), { code: VALUE, within: 0 }],
    ['an intset that claims more', 11, intset(2, 9, 1), { code: VALUE, within: 4 }],
    ['a listpack field twice', 16, packed('f', 1, 'f', 2), { code: VALUE, within: 11 }],
    ['a listpack member twice in two forms', 20, packed('12', 12), { code: VALUE, within: 10 }],
    ['an odd listpack of pairs', 17, packed('a'), { code: VALUE, within: 0 }],
    ['an empty listpack', 16, packed(), { code: VALUE, within: 0 }],
    ['a listpack with another count', 20, str(listpack(['a'], 2)), { code: VALUE, within: 4 }],
    ['a quicklist of empty nodes', 14, cat(len(1), ziplist([])), { code: VALUE, at: 0 }],
    ['a list node of kind 3', 18, cat(len(1), len(3), str('x')), { code: VALUE, at: 1 }],
    ['a plain node of nothing', 18, cat(len(1), len(1), str('')), { code: VALUE, at: 1 }],
    [
      'a field expiry out of range',
      24,
      cat(int64(-1), len(1), len(0), str('f'), str('v')),
      { code: VALUE, at: 0 },
    ],
    [
      'a packed field expiry as text',
      25,
      cat(int64(5), packed('f', 'v', 'x')),
      { code: VALUE, within: 12 },
    ],
    ['a node with too few elements', 15, stream([[id(1), node(1, 0, 1, 'a', 0)]]), { code: VALUE }],
    ['a node with too many', 15, stream([[id(1), node(0, 0, 0, 0, 5)]]), { code: VALUE }],
    [
      'a node with a wrong entry',
      15,
      stream([[id(1), node(1, 0, 0, 0, 2, 0, 0, 9)]]),
      { code: VALUE },
    ],
    [
      'a node twice',
      15,
      stream([
        [id(1), goodNode],
        [id(1), goodNode],
      ]),
      { code: VALUE },
    ],
    [
      'a node without a whole id',
      15,
      stream([[Buffer.alloc(15), goodNode]]),
      { code: VALUE, at: 1 },
    ],
    ['a group twice', 15, stream([], ['g', {}], ['g', {}]), { code: VALUE }],
    [
      'a consumer twice',
      15,
      stream(
        [],
        [
          'g',
          {
            consumers: [
              ['a', []],
              ['a', []],
            ],
          },
        ],
      ),
      { code: VALUE },
    ],
    ['an entry pending twice', 15, stream([], ['g', { pending: [id(1), id(1)] }]), { code: VALUE }],
    ['an entry nobody has', 15, stream([], ['g', { pending: [id(1)] }]), { code: VALUE }],
    [
      'an entry not pending',
      15,
      stream([], ['g', { consumers: [['a', [id(1)]]] }]),
      { code: VALUE },
    ],
    [
      'an entry a consumer has twice',
      15,
      stream([], ['g', { pending: [id(1)], consumers: [['a', [id(1), id(1)]]] }]),
      { code: VALUE },
    ],
  ])('and refuses %s', (_, type, value, expected) => {
    expect(fault(type, value)).toMatchObject(expected);
  });

  it('and refuses a field expiry of Valkey below -1', () => {
    const value = (expiry: number): Buffer => cat(len(1), str('f'), str('v'), int64(expiry));
    expect(check(22, value(-1), 'valkey')).toMatchObject({ valuesChecked: 2 });
    expect(fault(22, value(-2), 'valkey')).toMatchObject({ code: VALUE, at: 5 });
  });

  it('and into functions, long AUX fields and modules, which no key has', () => {
    const torn = Buffer.of(0xc3, 2, 30, 0, 97);
    const items = (text: Buffer): Buffer => cat(moduleId('ReJSON-RL', 1), len(5), text, len(0));
    const outside = (text: Buffer): readonly Buffer[] => [
      cat(Buffer.of(0xf5), text),
      cat(Buffer.of(0xfa), str('lua'), text),
      cat(Buffer.of(0xf7), moduleId('ReJSON-RL', 1), len(2), len(1), len(5), text, len(0)),
    ];
    const good = new RdbBuilder().raw(...outside(lzfStr('a'.repeat(99))), ...outside(str('x')));
    for (const size of [1, 1000]) {
      const checker = new RdbChecker();
      const bytes = good.selectDb(0).build();
      for (let at = 0; at < bytes.length; at += size) checker.push(bytes.subarray(at, at + size));
      expect(checker.end()).toMatchObject({ keys: 0, valuesChecked: 0 });
      for (const bad of outside(torn)) {
        const again = new RdbChecker();
        const whole = new RdbBuilder().raw(bad).build();
        expect(() => {
          for (let at = 0; at < whole.length; at += size) again.push(whole.subarray(at, at + size));
        }).toThrow(
          expect.objectContaining({
            code: 'TM_RDB_STRING',
            context: { offset: 9 + bad.indexOf(torn) },
          }),
        );
        expect(again.faultKey).toBe(null);
      }
    }
    expect(check(7, items(str('x')))).toMatchObject({ valuesChecked: 2 });
    expect(fault(7, items(torn))).toMatchObject({ code: 'TM_RDB_STRING', at: 10 });
  });

  it('only when it is told to', () => {
    const bytes = new RdbBuilder()
      .selectDb(0)
      .entry({ key: 'k', type: 2, value: len(0) })
      .build();
    const checker = new RdbChecker({ values: false });
    checker.push(bytes);
    expect(checker.end()).toMatchObject({ keys: 1, valuesChecked: 0, checksum: 'verified' });
  });

  it('and passes strings over 32 MiB, which it counts', () => {
    const long = str(Buffer.alloc(33 * 1024 * 1024, 'x'));
    const found = check(2, cat(len(2), str('a'), long));
    expect(found).toMatchObject({ keys: 2, valuesPassed: 1, collectionsNotCompared: 0 });
  });

  it('and does not compare members above a million', () => {
    const members = Array.from({ length: 1_048_577 }, (_, at) => str(`m${at}`));
    const count = len(members.length + 1);
    const last = str(`m${members.length - 1}`);
    const value = Buffer.concat([count, ...members, last]);
    expect(check(2, value)).toMatchObject({ keys: 2, collectionsNotCompared: 1 });
    const early = Buffer.concat([count, ...members, str('m5')]);
    expect(fault(2, early)).toMatchObject({ code: VALUE });
  });
});
