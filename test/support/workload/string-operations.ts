import type { Dice } from './dice.ts';
import { nameOf, type Scene, type Words } from './scene.ts';

/** Strings, counters, bitmaps, HyperLogLog and big values. */
export const stringOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['SET', at.key('string'), at.value()]],
  (at) => [['SET', at.key('string'), at.value(), 'PX', at.lifeMs()]],
  (at) => [['SET', at.key('string'), at.value(), 'PXAT', at.expiryMs()]],
  (at) => [['SET', at.key('string'), at.value(), 'EXAT', at.farSecond(), 'NX']],
  (at) => [['SET', at.key('string'), at.value(), 'KEEPTTL']],
  (at) => [['SET', at.key('string'), at.value(), 'XX', 'GET']],
  (at) => [['SETEX', at.key('string'), at.dice.between(1, 5), at.value()]],
  (at) => [['PSETEX', at.key('string'), at.lifeMs(), at.value()]],
  (at) => [['GETEX', at.key('string'), 'PX', at.lifeMs()]],
  (at) => [['GETEX', at.key('string'), 'PERSIST']],
  (at) => [['GETEX', at.key('string'), 'EXAT', at.farSecond()]],
  (at) => [['GETDEL', at.key('string')]],
  (at) => [['GETSET', at.key('string'), at.value()]],
  (at) => [['APPEND', at.key('string'), at.value()]],
  (at) => [['SETRANGE', at.key('string'), at.dice.between(0, 400), at.value()]],
  (at) => [['MSET', ...pairs(at, 3)]],
  (at) => [['MSETNX', ...pairs(at, 2)]],
  (at) => [['INCR', at.key('counter')]],
  (at) => [['DECRBY', at.key('counter'), at.dice.between(1, 50)]],
  (at) => [['INCRBYFLOAT', at.key('float'), at.dice.pick(['0.1', '-3.75', '1e3'])]],
  (at) => [['SETBIT', at.key('bits'), at.dice.between(0, 5_000), at.dice.between(0, 1)]],
  (at) => [['BITFIELD', at.key('bits'), 'INCRBY', 'i5', at.dice.between(0, 400), 1]],
  (at) => [['BITOP', 'XOR', at.key('bits'), ...at.keys('bits', 2)]],
  (at) => [['PFADD', at.key('hll'), ...Array.from({ length: 5 }, () => at.value())]],
  (at) => [['PFMERGE', at.key('hll'), ...at.keys('hll', 2)]],
];

/** Values of 1 to 4 MB: few keys of few databases, so that the dataset stays small. */
export function bigValue(at: Scene): Words[] {
  const { dice } = at;
  const key = nameOf('big', 2);
  const bytes = dice.bytes(64 * 1024);
  return [['SELECT', dice.between(0, 1)], ...dice.pick(BIG_OPERATIONS)(key, bytes, dice)];
}

type BigOperation = (key: Words[number], bytes: Buffer, dice: Dice) => Words[];

const BIG_OPERATIONS: readonly BigOperation[] = [
  (key, bytes, dice) => [['SET', key, repeated(bytes, dice.between(16, 64))]],
  (key, bytes, dice) => [['SETRANGE', key, dice.between(1, 4) * 1_000_000, bytes]],
  (key, bytes) => [
    ['DEL', key],
    ['APPEND', key, repeated(bytes, 16)],
  ],
  (key, bytes) => [
    ['HSET', 'hash:1', 'big', repeated(bytes, 16)],
    ['DEL', key],
  ],
  (key, _, dice) => [['COPY', key, 'big', 'DB', dice.between(0, 1), 'REPLACE']],
  (key) => [['RENAME', 'big', key]],
];

function repeated(bytes: Buffer, times: number): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => bytes));
}

function pairs(at: Scene, count: number): Words {
  return Array.from({ length: count }, () => [at.key('string'), at.value()]).flat();
}
