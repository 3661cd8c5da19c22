import { COMMANDS, KEY_RULE, type KeyRule } from '@tidemark/aof';

/** What a command does to the expiry of the keys that it writes. */
export const VANISH_EFFECT = {
  /** Nothing. */
  none: 0,
  /** They are removed, or have none from then on. */
  clears: 1,
  /** They may have lost their last element, and be gone. */
  mayEmpty: 2,
  /** They are given one, if the arguments say so. */
  gives: 3,
  /** It goes from the first key to the second. */
  moves: 4,
  swaps: 5,
  flushesDb: 6,
  flushesAll: 7,
  /** It cannot be told. */
  unknown: 8,
} as const;

const NAMES: readonly (readonly [number, string])[] = [
  [
    VANISH_EFFECT.clears,
    `del unlink getdel delex delifeq persist getset mset msetnx setnx
     sinterstore sunionstore sdiffstore zunionstore zinterstore zdiffstore zrangestore
     geosearchstore georadius georadiusbymember sort bitop`,
  ],
  [
    VANISH_EFFECT.mayEmpty,
    `lpop rpop lrem ltrim lmpop blmpop blpop brpop lmove blmove rpoplpush brpoplpush
     spop srem smove zpopmin zpopmax bzpopmin bzpopmax zmpop bzmpop zrem
     zremrangebylex zremrangebyrank zremrangebyscore hdel hgetdel json.del json.forget vrem`,
  ],
  [
    VANISH_EFFECT.gives,
    'set msetex getex restore restore-asking pexpireat expireat expire pexpire setex psetex',
  ],
  [VANISH_EFFECT.moves, 'rename renamenx copy move'],
  [VANISH_EFFECT.swaps, 'swapdb'],
  [VANISH_EFFECT.flushesDb, 'flushdb'],
  [VANISH_EFFECT.flushesAll, 'flushall'],
];

const OPAQUE: readonly KeyRule[] = [KEY_RULE.opaque, KEY_RULE.script, KEY_RULE.slots];
const BY_NAME = new Map(
  NAMES.flatMap(([effect, names]) =>
    names.split(/\s+/).map((name): [string, number] => [name, effect]),
  ),
);

/** The {@link VANISH_EFFECT} of every command in `COMMANDS`. */
export const VANISH_EFFECT_OF_SPEC = Uint8Array.from(COMMANDS, ({ name, keys }) => {
  const known = BY_NAME.get(name);
  if (known !== undefined) return known;
  return OPAQUE.includes(keys) ? VANISH_EFFECT.unknown : VANISH_EFFECT.none;
});
