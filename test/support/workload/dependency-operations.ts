import type { DependencyScene } from './dependency-scene.ts';
import type { Words } from './scene.ts';

/** Commands of one small act. */
export type Operation = (at: DependencyScene) => Words[];

const end = (at: DependencyScene): string => at.dice.pick(['LEFT', 'RIGHT']);
const members = (at: DependencyScene, count: number): Words =>
  Array.from({ length: count }, () => at.member());

/** Keys change name or database, are copied and go. */
export const moveOperations: readonly Operation[] = [
  (at) => [['RENAME', ...at.pair()]],
  (at) => [['RENAME', ...at.pair()]],
  (at) => [['RENAMENX', ...at.pair()]],
  (at) => [['COPY', ...at.pair()]],
  (at) => [['COPY', ...at.pair(), 'REPLACE']],
  (at) => [['COPY', ...at.pair(), 'DB', at.db()]],
  (at) => [['COPY', ...at.pair(), 'DB', at.db(), 'REPLACE']],
  (at) => [['MOVE', at.pair()[0], at.db()]],
  (at) => [['MOVE', at.pair()[0], at.db()]],
  (at) => [[at.dice.pick(['DEL', 'UNLINK']), ...at.any(at.dice.between(1, 4))]],
];

/** Two databases change places. */
export const swapOperations: readonly Operation[] = [
  (at) => [['SWAPDB', at.db(), at.db()]],
  (at) => [['SWAPDB', 0, at.db()]],
];

const stringOperations: readonly Operation[] = [
  (at) => [['SET', at.of('name'), at.value()]],
  (at) => [['SET', at.of('name'), at.value(), 'PX', at.lifeMs()]],
  (at) => [['SET', at.of('name'), at.value(), 'KEEPTTL']],
  (at) => [['SET', at.of('name'), at.value(), at.dice.pick(['NX', 'XX'])]],
  (at) => [['GETSET', at.of('name'), at.value()]],
  (at) => [['GETDEL', at.of('name')]],
  (at) => [['GETEX', at.of('name'), 'PX', at.lifeMs()]],
  (at) => [['APPEND', at.of('name'), at.value()]],
  (at) => [['SETRANGE', at.of('name'), at.dice.between(0, 40), at.value()]],
  (at) => [['MSET', at.of('name'), at.value(), at.of('weight'), at.dice.between(0, 99)]],
  (at) => [['MSETNX', at.of('name'), at.value(), at.of('visits'), at.dice.between(0, 9)]],
  (at) => [['INCR', at.of('visits')]],
  (at) => [['DECRBY', at.of('visits'), at.dice.between(1, 50)]],
  (at) => [['INCRBYFLOAT', at.of('weight'), at.dice.pick(['0.5', '-3.75', '12'])]],
  (at) => [['SETBIT', at.of('bits'), at.dice.between(0, 300), at.dice.between(0, 1)]],
  (at) => [['BITFIELD', at.of('bits'), 'INCRBY', 'u5', at.dice.between(0, 80), 1]],
  (at) => [['BITOP', at.dice.pick(['AND', 'OR', 'XOR']), at.of('bits'), ...at.several('bits', 2)]],
  (at) => [['BITOP', 'NOT', at.of('bits'), at.of('bits')]],
  (at) => [['PFADD', at.of('hll'), ...members(at, 5)]],
  (at) => [['PFMERGE', at.of('hll'), ...at.several('hll', at.dice.between(1, 2))]],
  (at) => [['PFCOUNT', at.of('hll')]],
  (at) => [['PFCOUNT', ...at.several('hll', 2)]],
];

const listOperations: readonly Operation[] = [
  (at) => [['LPUSH', at.of('cart'), at.value(), at.value()]],
  (at) => [['RPUSH', at.of('cart'), at.value(), at.value()]],
  (at) => [['RPUSH', at.of('ids'), at.number(), at.number()]],
  (at) => [['RPUSHX', at.of('cart'), at.value()]],
  (at) => [[at.dice.pick(['LPOP', 'RPOP']), at.of('cart'), at.dice.between(1, 2)]],
  (at) => [['LTRIM', at.of('cart'), 0, at.dice.between(3, 20)]],
  (at) => [['LSET', at.of('cart'), -1, at.value()]],
  (at) => [['RPOPLPUSH', ...at.several('cart', 2)]],
  (at) => [['LMOVE', at.of('cart'), at.of('cart'), end(at), end(at)]],
  (at) => [['LMOVE', at.of('ids'), at.of('cart'), end(at), end(at)]],
  (at) => [['LMPOP', 3, ...at.several('cart', 3), end(at), 'COUNT', 2]],
  (at) => [['SORT', at.of('ids'), 'DESC', 'LIMIT', 0, 12, 'STORE', at.of('ids')]],
  (at) => [['SORT', at.of('tags'), 'ALPHA', 'STORE', at.of('cart')]],
  (at) => [['SORT', at.of('ids'), 'BY', 'nosort', 'GET', '#', 'STORE', at.of('ids')]],
];

const setOperations: readonly Operation[] = [
  (at) => [['SADD', at.of('tags'), ...members(at, 5)]],
  (at) => [['SADD', at.of('tags'), ...members(at, 5)]],
  (at) => [['SREM', at.of('tags'), ...members(at, 2)]],
  (at) => [['SPOP', at.of('tags'), at.dice.between(1, 3)]],
  (at) => [['SMOVE', ...at.several('tags', 2), at.member()]],
  (at) => [['SMOVE', ...at.several('tags', 2), at.member()]],
  (at) => [['SINTERSTORE', at.of('tags'), ...at.several('tags', 2)]],
  (at) => [['SUNIONSTORE', at.of('tags'), ...at.several('tags', 3)]],
  (at) => [['SDIFFSTORE', at.of('tags'), ...at.several('tags', 2)]],
];

const zsetOperations: readonly Operation[] = [
  (at) => [['ZADD', at.of('board'), ...at.scored(4)]],
  (at) => [['ZADD', at.of('board'), at.dice.pick(['GT', 'LT', 'NX', 'XX']), ...at.scored(2)]],
  (at) => [['ZINCRBY', at.of('board'), '0.1', at.member()]],
  (at) => [['ZREM', at.of('board'), at.member()]],
  (at) => [[at.dice.pick(['ZPOPMIN', 'ZPOPMAX']), at.of('board'), 2]],
  (at) => [['ZMPOP', 2, ...at.several('board', 2), at.dice.pick(['MIN', 'MAX'])]],
  (at) => {
    const weights = at.weights(3);
    const sources = [...at.several('board', 2), at.of('tags')];
    const how = ['AGGREGATE', at.dice.pick(['SUM', 'MIN', 'MAX'])];
    return [['ZUNIONSTORE', at.of('board'), 3, ...sources, 'WEIGHTS', ...weights, ...how]];
  },
  (at) => [
    ['ZINTERSTORE', at.of('board'), 2, at.of('board'), at.of('tags'), 'WEIGHTS', ...at.weights(2)],
  ],
  (at) => [['ZDIFFSTORE', at.of('board'), 2, ...at.several('board', 2)]],
  (at) => [['ZRANGESTORE', ...at.several('board', 2), 0, at.dice.between(4, 20)]],
  (at) => [['ZRANGESTORE', ...at.several('board', 2), '(-2', '+inf', 'BYSCORE', 'LIMIT', 0, 9]],
];

const geoOperations: readonly Operation[] = [
  (at) => [['GEOADD', at.of('place'), at.dice.between(-9, 9), at.dice.between(-9, 9), at.member()]],
  (at) => [['GEOADD', at.of('place'), at.dice.between(-9, 9), at.dice.between(-9, 9), at.member()]],
  (at) => [
    ['GEOSEARCHSTORE', ...at.several('place', 2), 'FROMLONLAT', 1, 1, 'BYRADIUS', 900, 'km'],
  ],
  (at) => [
    ['GEOSEARCHSTORE', at.of('board'), at.of('place'), ...around, 'BYBOX', 900, 900, 'km', dist],
  ],
  (at) => [['GEORADIUS', at.of('place'), 1, 1, 1_100, 'km', 'STORE', at.of('place')]],
  (at) => [
    ['GEORADIUSBYMEMBER', at.of('place'), at.member(), 800, 'km', 'STOREDIST', at.of('board')],
  ],
];
const around = ['FROMLONLAT', 0, 0] as const;
const dist = 'STOREDIST';

const hashOperations: readonly Operation[] = [
  (at) => [['HSET', at.of('profile'), 'name', at.value(), at.member(), at.value()]],
  (at) => [['HSETNX', at.of('profile'), at.member(), at.value()]],
  (at) => [['HDEL', at.of('profile'), at.member(), at.member()]],
  (at) => [['HINCRBY', at.of('profile'), 'visits', at.dice.between(-9, 9)]],
  (at) => [['HINCRBYFLOAT', at.of('profile'), 'float', '0.3']],
  (at) => [['HSET', at.of('session'), at.member(), at.value(), at.member(), at.value()]],
];

const GROUPS = ['billing', 'mail'];
const group = (at: DependencyScene): string => at.dice.pick(GROUPS);
const consumer = (at: DependencyScene): string => at.dice.pick(['anna', 'ben']);
const read = (at: DependencyScene, ...more: Words): Words => [
  ...['XREADGROUP', 'GROUP', group(at), consumer(at), 'COUNT', 3],
  ...[...more, 'STREAMS', at.of('events'), '>'],
];

const streamOperations: readonly Operation[] = [
  (at) => {
    const [key, name] = [at.of('events'), group(at)];
    return [
      ['XGROUP', 'CREATE', key, name, '0', 'MKSTREAM'],
      ['XADD', key, '*', 'order', at.value()],
      ['XREADGROUP', 'GROUP', name, consumer(at), 'COUNT', 2, 'STREAMS', key, '>'],
    ];
  },
  (at) => [['XADD', at.of('events'), '*', 'order', at.value()]],
  (at) => [['XADD', at.of('events'), 'MAXLEN', '~', 20, '*', 'order', at.value()]],
  (at) => [['XADD', at.of('events'), 'NOMKSTREAM', '*', 'order', at.value()]],
  (at) => [['XGROUP', 'CREATE', at.of('events'), group(at), '0', 'MKSTREAM']],
  (at) => [['XGROUP', 'CREATECONSUMER', at.of('events'), group(at), consumer(at)]],
  (at) => [['XGROUP', 'SETID', at.of('events'), group(at), at.dice.pick(['0', '$'])]],
  (at) => (at.dice.once(4) ? [['XGROUP', 'DESTROY', at.of('events'), group(at)]] : []),
  (at) => (at.dice.once(4) ? [['XGROUP', 'DELCONSUMER', at.of('events'), group(at), 'ben']] : []),
  (at) => [read(at)],
  (at) => [read(at)],
  (at) => [read(at, 'NOACK')],
  (at) => [['XAUTOCLAIM', at.of('events'), group(at), consumer(at), 0, '0', 'COUNT', 4]],
  (at) => [['XTRIM', at.of('events'), 'MAXLEN', at.dice.between(3, 12)]],
  (at) => [['XDEL', at.of('events'), '0-1']],
];

/** Expiries, most of which pass soon, and of which some are taken away in time. */
const expiryOperations: readonly Operation[] = [
  (at) => [['PEXPIRE', at.pair()[0], at.lifeMs()]],
  (at) => [['PEXPIRE', at.pair()[0], at.lifeMs(), at.dice.pick(['NX', 'XX', 'GT', 'LT'])]],
  (at) => [['EXPIRE', at.pair()[0], at.dice.between(1, 900)]],
  (at) => [['PERSIST', at.pair()[0]]],
  (at) => [['PERSIST', at.pair()[0]]],
  (at) => {
    const [from, to] = at.pair();
    return [
      ['PEXPIRE', from, at.lifeMs()],
      ['RENAME', from, to],
      ['PERSIST', at.dice.once(2) ? to : from],
    ];
  },
];

/** Operations, and how often one of them comes. */
export type Family = readonly [weight: number, operations: readonly Operation[]];

/** Every kind of data, and what makes one key depend on another. */
export const dependencyFamilies: readonly Family[] = [
  [14, moveOperations],
  [8, stringOperations],
  [8, listOperations],
  [8, setOperations],
  [8, zsetOperations],
  [4, geoOperations],
  [4, hashOperations],
  [7, streamOperations],
  [3, expiryOperations],
];

/** SORT through patterns: what it reads cannot be told from its arguments. */
export const patternOperations: readonly Operation[] = [
  (at) => [['SORT', at.of('ids'), 'BY', 'weight:*', 'STORE', at.of('ids')]],
  (at) => [
    ['SORT', at.of('ids'), 'BY', 'weight:*', 'GET', '#', 'GET', 'user:*:name', 'STORE', cart(at)],
  ],
  (at) => [['SORT', at.of('ids'), 'GET', 'user:*:profile->name', 'STORE', at.of('cart')]],
];
const cart = (at: DependencyScene): Buffer => at.of('cart');

const FIELDS = 'FIELDS';

/** Hash fields with an expiry: Redis 7.4, Valkey 9.0 and newer. */
export const fieldOperations: readonly Operation[] = [
  (at) => [['HPEXPIRE', at.of('session'), at.lifeMs(), FIELDS, 1, at.member()]],
  (at) => [['HPEXPIRE', at.of('session'), at.lifeMs(), FIELDS, 2, ...members(at, 2)]],
  (at) => [['HPERSIST', at.of('session'), FIELDS, 1, at.member()]],
  (at) => [['HSET', at.of('session'), at.member(), at.value(), at.member(), at.value()]],
  (at) => [['HSETEX', at.of('session'), 'PX', at.lifeMs(), FIELDS, 1, at.member(), at.value()]],
  (at) => [['HGETEX', at.of('session'), 'PX', at.lifeMs(), FIELDS, 1, at.member()]],
  (at) => [['HINCRBY', at.of('session'), 'counter', 3]],
  (at) => [['RENAME', ...at.several('session', 2)]],
  (at) => [['COPY', ...at.several('session', 2), 'DB', at.db(), 'REPLACE']],
];

/** Commands with several keys that came after Redis 8.4. */
export const newestOperations: readonly Operation[] = [
  (at) => [['MSETEX', 2, at.of('name'), at.value(), at.of('name'), at.value(), 'PX', at.lifeMs()]],
  (at) => [['MSETEX', 2, at.of('name'), at.value(), at.of('visits'), 7, 'NX']],
  (at) => [['MSETEX', 2, at.of('name'), at.value(), at.of('visits'), 7, 'XX', 'KEEPTTL']],
  (at) => [['DELEX', at.of('name')]],
];
