/** How the keys of a command are found among its arguments (argument 0 is the name). */
export const KEY_RULE = {
  /** Anything may be reached. */
  opaque: 0,
  /** No key and no effect on a dataset. */
  none: 1,
  /** Key at 1; its new value depends on the old one. */
  update: 2,
  /** Key at 1, wholly overwritten or removed. */
  overwrite: 3,
  /** Key at 2; its new value depends on the old one. */
  updateSecond: 4,
  /** Keys from 1 to the end, removed. */
  removeAll: 5,
  /** Keys from 1 to the last but one, updated. */
  updateButLast: 6,
  /** Keys at 1 and 2, both updated. */
  updatePair: 7,
  /** Key at 1 overwritten from the key at 2. */
  storeOne: 8,
  /** Key at 1 overwritten from the keys from 2 to the end. */
  storeAll: 9,
  /** Key at 1 overwritten from as many keys as argument 2 says, from 3 on. */
  storeCounted: 10,
  /** As storeCounted, and the old value of the key at 1 matters. */
  mergeCounted: 11,
  /** As many keys as argument 1 says, from 2 on, updated. */
  updateCounted: 12,
  /** As many keys as argument 2 says, from 3 on, updated. */
  updateCountedSecond: 13,
  /** As updateCountedSecond, and anything else may be reached. */
  script: 14,
  /** Key at 1 read; the key after the last STORE or STOREDIST overwritten. */
  storeOption: 15,
  /** Every second argument from 1 on, overwritten. */
  setPairs: 16,
  /** Every second argument from 1 on, updated. */
  updatePairs: 17,
  /** Every third argument from 1 on, updated. */
  updateTriples: 18,
  set: 19,
  restore: 20,
  rename: 21,
  renameNx: 22,
  copy: 23,
  move: 24,
  sort: 25,
  bitOp: 26,
  pfMerge: 27,
  pfCount: 28,
  mSetEx: 29,
  flushDb: 30,
  flushAll: 31,
  swapDb: 32,
  functions: 33,
  slots: 34,
} as const;

/** One of the numbers of {@link KEY_RULE}. */
export type KeyRule = (typeof KEY_RULE)[keyof typeof KEY_RULE];

/** A command that is known to stand in command logs. */
export interface CommandSpec {
  /** Lower case, without a subcommand. Empty for the unknown command. */
  readonly name: string;
  /** Where its keys stand. */
  readonly keys: KeyRule;
}

/** Indexes of the commands that steer the decoder itself. */
export const SPEC_UNKNOWN = 0;
export const SPEC_SELECT = 1;
export const SPEC_MULTI = 2;
export const SPEC_EXEC = 3;

// Key positions as in the key_specs of redis src/commands/*.json (8.6) and valkey
// src/commands/*.json (9.1); modules after the key positions of their own command documentation.
// Names that never reach a log because the server rewrites them (BLPOP, SPOP with a count, EVAL)
// are listed too: other tools and 6.x logs may hold them.
const GROUPS: readonly (readonly [KeyRule, string])[] = [
  [KEY_RULE.none, 'select multi exec discard ping publish spublish replconf asking'],
  [
    KEY_RULE.update,
    `append bitfield decr decrby delex delifeq incr incrby incrbyfloat setbit setnx setrange getex
     expire expireat pexpire pexpireat persist
     hdel hexpire hexpireat hgetdel hgetex hincrby hincrbyfloat hmset hpersist hpexpire hpexpireat
     hset hsetc hsetex hsetnx
     linsert lpop lpush lpushx lrem lset ltrim rpop rpush rpushx
     sadd spop srem pfadd geoadd
     xack xackdel xadd xautoclaim xcfgset xclaim xdel xdelex xidmprecord xsetid xtrim
     zadd zincrby zpopmax zpopmin zrem zremrangebylex zremrangebyrank zremrangebyscore
     vadd vrem vsetattr
     json.set json.merge json.del json.forget json.clear json.toggle json.numincrby json.nummultby
     json.numpowby json.strappend json.arrappend json.arrinsert json.arrpop json.arrtrim
     bf.add bf.madd bf.insert bf.reserve bf.loadchunk bf.load
     cf.add cf.addnx cf.insert cf.insertnx cf.del cf.reserve cf.loadchunk cf.compact
     cms.initbydim cms.initbyprob cms.incrby topk.reserve topk.add topk.incrby
     tdigest.create tdigest.add tdigest.reset`,
  ],
  [KEY_RULE.overwrite, 'setex psetex getset getdel'],
  [KEY_RULE.updateSecond, 'xgroup pfdebug'],
  [KEY_RULE.removeAll, 'del unlink'],
  [KEY_RULE.updateButLast, 'blpop brpop bzpopmax bzpopmin'],
  [KEY_RULE.updatePair, 'smove rpoplpush brpoplpush lmove blmove'],
  [KEY_RULE.storeOne, 'zrangestore geosearchstore'],
  [KEY_RULE.storeAll, 'sinterstore sunionstore sdiffstore'],
  [KEY_RULE.storeCounted, 'zunionstore zinterstore zdiffstore'],
  [KEY_RULE.mergeCounted, 'cms.merge tdigest.merge'],
  [KEY_RULE.updateCounted, 'lmpop zmpop'],
  [KEY_RULE.updateCountedSecond, 'blmpop bzmpop'],
  [KEY_RULE.script, 'eval evalsha fcall'],
  [KEY_RULE.storeOption, 'georadius georadiusbymember'],
  [KEY_RULE.setPairs, 'mset'],
  [KEY_RULE.updatePairs, 'msetnx'],
  [KEY_RULE.updateTriples, 'json.mset'],
  [KEY_RULE.set, 'set'],
  [KEY_RULE.restore, 'restore restore-asking'],
  [KEY_RULE.rename, 'rename'],
  [KEY_RULE.renameNx, 'renamenx'],
  [KEY_RULE.copy, 'copy'],
  [KEY_RULE.move, 'move'],
  [KEY_RULE.sort, 'sort'],
  [KEY_RULE.bitOp, 'bitop'],
  [KEY_RULE.pfMerge, 'pfmerge'],
  [KEY_RULE.pfCount, 'pfcount'],
  [KEY_RULE.mSetEx, 'msetex'],
  [KEY_RULE.flushDb, 'flushdb'],
  [KEY_RULE.flushAll, 'flushall'],
  [KEY_RULE.swapDb, 'swapdb'],
  [KEY_RULE.functions, 'function script'],
  [KEY_RULE.slots, 'sflush trimslots cluster'],
  // Time series follow compaction rules into other keys; MIGRATE and XREADGROUP are always
  // rewritten by the server before they are logged.
  [
    KEY_RULE.opaque,
    `ts.create ts.alter ts.add ts.madd ts.incrby ts.decrby ts.del ts.createrule ts.deleterule
     migrate xreadgroup`,
  ],
];

function buildCommands(): readonly CommandSpec[] {
  const commands: CommandSpec[] = [{ name: '', keys: KEY_RULE.opaque }];
  for (const [keys, names] of GROUPS) {
    for (const name of names.split(/\s+/)) commands.push(Object.freeze({ name, keys }));
  }
  return Object.freeze(commands);
}

/**
 * Every command that a log of Redis 6.0 to 8.6 or Valkey 7.2 to 9.1 is known to hold, index 0
 * standing for all others. The index is what `CommandBatch.spec` holds; it is not durable.
 */
export const COMMANDS: readonly CommandSpec[] = buildCommands();
