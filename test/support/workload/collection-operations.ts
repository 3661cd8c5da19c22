import type { Scene, Words } from './scene.ts';

const members = (at: Scene, count: number): Words =>
  Array.from({ length: count }, () => at.member());
const scored = (at: Scene, count: number): Words =>
  Array.from({ length: count }, () => [at.score(), at.member()]).flat();
const end = (at: Scene): string => at.dice.pick(['LEFT', 'RIGHT']);

const listOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['LPUSH', at.key('list'), at.value(), at.value()]],
  (at) => [['RPUSH', at.key('list'), at.value(), at.value(), at.value()]],
  (at) => [['RPUSHX', at.key('list'), at.value()]],
  (at) => [['LPOP', at.key('list')]],
  (at) => [['RPOP', at.key('list'), 2]],
  (at) => [['LREM', at.key('list'), at.dice.between(-2, 2), at.value()]],
  (at) => [['LSET', at.key('list'), 0, at.value()]],
  (at) => [['LINSERT', at.key('list'), 'BEFORE', '', at.value()]],
  (at) => [['LTRIM', at.key('list'), 0, at.dice.between(20, 80)]],
  (at) => [['LMOVE', at.key('list'), at.key('list'), end(at), end(at)]],
  (at) => [['RPOPLPUSH', at.key('list'), at.key('list')]],
  (at) => [['LMPOP', 2, at.key('list'), at.key('list'), end(at), 'COUNT', 2]],
  (at) => [
    ['RPUSH', at.key('numbers'), ...Array.from({ length: 4 }, () => at.dice.between(0, 999))],
  ],
  (at) => [['SORT', at.key('numbers'), 'DESC', 'LIMIT', 0, 50, 'STORE', at.key('numbers')]],
  (at) => [['SORT', at.key('set'), 'ALPHA', 'STORE', at.key('list')]],
];

const setOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['SADD', at.key('set'), ...members(at, 4)]],
  (at) => [['SADD', at.key('intset'), at.dice.between(0, 900), at.dice.between(0, 9)]],
  (at) => [['SREM', at.key('set'), at.member()]],
  (at) => [['SPOP', at.key('set')]],
  (at) => [['SPOP', at.key('set'), 3]],
  (at) => [['SPOP', at.key('intset'), 100_000]],
  (at) => [['SMOVE', at.key('set'), at.key('set'), at.member()]],
  (at) => [['SINTERSTORE', at.key('set'), ...at.keys('set', 2)]],
  (at) => [['SUNIONSTORE', at.key('set'), ...at.keys('set', 2), at.key('intset')]],
  (at) => [['SDIFFSTORE', at.key('set'), ...at.keys('set', 2)]],
];

const zsetOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['ZADD', at.key('zset'), ...scored(at, 4)]],
  (at) => [
    ['ZADD', at.key('zset'), at.dice.pick(['GT', 'LT', 'NX', 'XX']), 'CH', ...scored(at, 2)],
  ],
  (at) => [['ZADD', at.key('zset'), 'INCR', '2.5', at.member()]],
  (at) => [['ZINCRBY', at.key('zset'), '0.1', at.member()]],
  (at) => [['ZREM', at.key('zset'), at.member()]],
  (at) => [['ZREMRANGEBYRANK', at.key('zset'), 0, 0]],
  (at) => [['ZREMRANGEBYSCORE', at.key('zset'), '(3', '7']],
  (at) => [['ZPOPMIN', at.key('zset'), 2]],
  (at) => [['ZMPOP', 2, at.key('zset'), at.key('zset'), 'MAX']],
  (at) => [['ZUNIONSTORE', at.key('zset'), 2, ...at.keys('zset', 2), 'AGGREGATE', 'MAX']],
  (at) => [['ZINTERSTORE', at.key('zset'), 2, at.key('zset'), at.key('set'), 'WEIGHTS', 1, 2]],
  (at) => [['ZDIFFSTORE', at.key('zset'), 2, ...at.keys('zset', 2)]],
  (at) => [['ZRANGESTORE', at.key('zset'), at.key('zset'), 0, 20]],
  (at) => [
    ['GEOADD', at.key('geo'), at.dice.between(-170, 170), at.dice.between(-80, 80), at.member()],
  ],
  (at) => [
    ['GEOSEARCHSTORE', at.key('geo'), at.key('geo'), 'FROMLONLAT', 10, 10, 'BYRADIUS', 9_000, 'km'],
  ],
];

const hashOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['HSET', at.key('hash'), at.member(), at.value(), at.member(), at.value()]],
  (at) => [['HSETNX', at.key('hash'), at.member(), at.value()]],
  (at) => [['HDEL', at.key('hash'), at.member(), at.member()]],
  (at) => [['HINCRBY', at.key('hash'), 'counter', at.dice.between(-9, 9)]],
  (at) => [['HINCRBYFLOAT', at.key('hash'), 'float', '0.3']],
  (at) => [['HSET', at.key('hash'), ...manyFields(at)]],
];

/** Lists, sets, sorted sets, geo and hashes. */
export const collectionOperations: readonly ((at: Scene) => Words[])[] = [
  ...listOperations,
  ...setOperations,
  ...zsetOperations,
  ...hashOperations,
];

function manyFields(at: Scene): Words {
  return Array.from({ length: 150 }, (_, i) => [`field-${i}`, at.dice.between(0, 9)]).flat();
}
