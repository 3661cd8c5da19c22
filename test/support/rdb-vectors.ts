import {
  double,
  int64,
  intStr,
  len,
  listpack,
  lzfStr,
  moduleId,
  moduleItems,
  str,
} from './rdb-encode.ts';

/** A value as it stands in an RDB. */
export interface RdbVector {
  readonly name: string;
  readonly type: number;
  readonly value: Buffer;
}

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const id = (seed: number): Buffer => Buffer.alloc(16, seed);

/** A stream of the given type with two groups; every optional part is filled. */
export function streamValue(type: 15 | 19 | 21 | 26): Buffer {
  const counters = type >= 19 ? [len(1), len(1), len(0), len(0), len(2)] : [];
  const consumer = (name: string, pending: number): Buffer =>
    cat(
      ...[str(name), int64(1700000000000), ...(type >= 21 ? [int64(1700000000001)] : [])],
      ...[len(pending), ...Array.from({ length: pending }, (_, at) => id(at))],
    );
  const group = (name: string, pending: number): Buffer =>
    cat(
      ...[str(name), len(5), len(1), ...(type >= 19 ? [len(2n ** 64n - 1n)] : [])],
      ...[len(pending)],
      ...Array.from({ length: pending }, (_, at) => cat(id(at), int64(1), len(at))),
      ...[len(2), consumer('one', pending), consumer('two', 0)],
    );
  const produced = cat(len(2), str('i1'), len(1), len(1), str('i2'), len(1), len(2));
  const idempotency =
    type === 26 ? [len(100), len(1000), len(1), str('producer'), produced, len(2), len(0)] : [];
  return cat(
    ...[len(2), str(id(1)), str('listpack one'), str(id(2)), lzfStr('a'.repeat(300))],
    ...[len(2), len(5), len(2 ** 33), ...counters],
    ...[len(2), group('g', 3), group('', 0), ...idempotency],
  );
}

const SHARED: readonly RdbVector[] = [
  { name: 'string', type: 0, value: str('plain') },
  { name: 'empty string', type: 0, value: str('') },
  { name: 'string of 100 bytes', type: 0, value: str('x'.repeat(100)) },
  { name: 'string of 20,000 bytes', type: 0, value: str('x'.repeat(20_000)) },
  { name: 'string with a long length form', type: 0, value: str('wide', '64') },
  { name: 'string as int8', type: 0, value: intStr(-1) },
  { name: 'string as int16', type: 0, value: intStr(-300) },
  { name: 'string as int32', type: 0, value: intStr(1_000_000) },
  { name: 'packed string', type: 0, value: lzfStr('b'.repeat(1000)) },
  { name: 'list', type: 1, value: cat(len(3), str('a'), intStr(5), lzfStr('c'.repeat(40))) },
  { name: 'empty list', type: 1, value: len(0) },
  { name: 'set', type: 2, value: cat(len(2, '32'), str('a'), str('b')) },
  {
    name: 'sorted set with text scores',
    type: 3,
    value: cat(
      ...[len(4), str('a'), Buffer.from('\x031.5'), str('b'), Buffer.of(253)],
      ...[str('c'), Buffer.of(254), str('d'), Buffer.of(255)],
    ),
  },
  { name: 'hash', type: 4, value: cat(len(2), str('f'), str('v'), str('g'), intStr(7)) },
  { name: 'sorted set', type: 5, value: cat(len(2), str('a'), double(1), str('b'), double(-2)) },
  { name: 'module value', type: 7, value: cat(moduleId('ReJSON-RL', 3), moduleItems()) },
  { name: 'zipmap', type: 9, value: str('zipmap bytes') },
  { name: 'list as ziplist', type: 10, value: str('ziplist bytes') },
  { name: 'intset', type: 11, value: str('intset bytes') },
  { name: 'sorted set as ziplist', type: 12, value: lzfStr('z'.repeat(60)) },
  { name: 'hash as ziplist', type: 13, value: str('ziplist bytes') },
  { name: 'quicklist', type: 14, value: cat(len(2), str('node'), lzfStr('n'.repeat(99))) },
  { name: 'stream', type: 15, value: streamValue(15) },
  { name: 'hash as listpack', type: 16, value: str(listpack(['f', 'v', 'g', -300])) },
  {
    name: 'sorted set as listpack',
    type: 17,
    value: str(listpack(['a', '-inf', 'b', 1, 'c', '1.5'])),
  },
  {
    name: 'quicklist 2',
    type: 18,
    value: cat(
      ...[len(3), len(1), str('plain node'), len(2), str(listpack(['a', 5, 'b'.repeat(300)]))],
      ...[len(2), lzfStr(listpack(['c'.repeat(80)]))],
    ),
  },
  { name: 'stream 2', type: 19, value: streamValue(19) },
  { name: 'set as listpack', type: 20, value: str(listpack(['a', 70_000, 'x'.repeat(70)])) },
  { name: 'stream 3', type: 21, value: streamValue(21) },
];

/** A value of every type that is read, by product; some types more than once. */
export const RDB_VECTORS: Readonly<Record<'redis' | 'valkey', readonly RdbVector[]>> = {
  redis: [
    ...SHARED,
    {
      name: 'hash with field expiries',
      type: 24,
      value: cat(
        ...[int64(1700000000000), len(2), len(0), str('f'), str('v')],
        ...[len(1), str('g'), lzfStr('v'.repeat(50))],
      ),
    },
    {
      name: 'hash with field expiries as listpack',
      type: 25,
      value: cat(int64(1700000000000), str(listpack(['f', 'v', 1700000000000, 'g', 7, 0]))),
    },
    { name: 'stream 4', type: 26, value: streamValue(26) },
  ],
  valkey: [
    ...SHARED,
    {
      name: 'hash 2',
      type: 22,
      value: cat(len(2), str('f'), str('v'), int64(-1), str('g'), str('w'), int64(1700000000000)),
    },
  ],
};
