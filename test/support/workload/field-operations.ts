import type { Scene, Words } from './scene.ts';

/** Hashes of these names only have fields with an expiry, so that others stay without. */
const KIND = 'fields';

const fields = (at: Scene, count: number): Words => [
  'FIELDS',
  count,
  ...Array.from({ length: count }, () => at.member()),
];
/**
 * No field stands twice: Redis 8.6.3 ends with a segmentation fault in `hashTypeSet` when HSETEX gives
 * a new field of a hash table twice (8.0.6 does not): `HSETEX h EX 100 FIELDS 2 f 1 f 2`.
 */
const pairs = (at: Scene, count: number): Words => {
  const names = new Map<string, Words[number]>();
  while (names.size < count) {
    const name = at.member();
    names.set(name.toString(), name);
  }
  return ['FIELDS', count, ...[...names.values()].flatMap((name) => [name, at.value()])];
};

/**
 * Hash fields with an expiry: given, changed, taken away, passed. Redis 7.4, Valkey 9.0 and newer;
 * each command gives or takes the expiry of one field.
 */
export const fieldOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['HSET', at.key(KIND), at.member(), at.value(), at.member(), at.value()]],
  (at) => [['HPEXPIRE', at.key(KIND), at.lifeMs(), ...fields(at, 1)]],
  (at) => [
    ['HEXPIRE', at.key(KIND), 900, at.dice.pick(['NX', 'XX', 'GT', 'LT']), ...fields(at, 1)],
  ],
  (at) => [['HPEXPIREAT', at.key(KIND), at.expiryMs(), ...fields(at, 1)]],
  (at) => [['HEXPIREAT', at.key(KIND), at.farSecond(), ...fields(at, 1)]],
  (at) => [['HPEXPIREAT', at.key(KIND), 1, ...fields(at, 1)]],
  (at) => [['HPERSIST', at.key(KIND), ...fields(at, 1)]],
  (at) => [['HDEL', at.key(KIND), at.member()]],
  (at) => [['HINCRBY', at.key(KIND), 'counter', 3]],
  (at) => [['HINCRBYFLOAT', at.key(KIND), 'float', '0.3']],
  (at) => [
    ['HSET', at.key(KIND), 'counter', 1, 'float', 1],
    ['HPEXPIRE', at.key(KIND), at.lifeMs(), 'FIELDS', 1, 'counter'],
    ['HPEXPIRE', at.key(KIND), at.lifeMs(), 'FIELDS', 1, 'float'],
  ],
  (at) => [['RENAME', at.key(KIND), at.key(KIND)]],
  // Refused by Redis 7.4, which has no such commands.
  (at) => [['HSETEX', at.key(KIND), 'PX', at.lifeMs(), ...pairs(at, 2)]],
  (at) => [['HSETEX', at.key(KIND), 'FXX', 'PXAT', at.expiryMs(), ...pairs(at, 1)]],
  (at) => [['HSETEX', at.key(KIND), 'KEEPTTL', ...pairs(at, 2)]],
  (at) => [['HGETEX', at.key(KIND), 'PX', at.lifeMs(), ...fields(at, 1)]],
  (at) => [['HGETEX', at.key(KIND), 'PERSIST', ...fields(at, 1)]],
  (at) => [['HGETDEL', at.key(KIND), ...fields(at, 2)]],
];

/**
 * What Valkey 9.1 does not log as it happened (docs/promises.md): a copy without the fields whose time
 * has come is logged as a copy, and an expiry of several fields names also those that were gone.
 */
export const redisFieldOperations: readonly ((at: Scene) => Words[])[] = [
  ...fieldOperations,
  (at) => [['COPY', at.key(KIND), at.key(KIND), 'REPLACE']],
  (at) => [['HPEXPIRE', at.key(KIND), at.lifeMs(), ...fields(at, 2)]],
  (at) => [
    ['HEXPIRE', at.key(KIND), 900, at.dice.pick(['NX', 'XX', 'GT', 'LT']), ...fields(at, 2)],
  ],
  (at) => [['HPEXPIREAT', at.key(KIND), at.expiryMs(), ...fields(at, 3)]],
  (at) => [['HPERSIST', at.key(KIND), ...fields(at, 3)]],
  (at) => [['HGETEX', at.key(KIND), 'PX', at.lifeMs(), ...fields(at, 2)]],
];
