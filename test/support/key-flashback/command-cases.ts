/** A small history in which a key is what it is because of others. */
export interface CommandCase {
  readonly name: string;
  /**
   * Commands in the order they run, words parted by spaces. Part 0 stands in the snapshot, each
   * further part in a segment of its own. `~` begins the keys of this case; `@1` runs in database 1.
   */
  readonly parts: readonly (readonly string[])[];
  /** The keys that are selected, without their beginning. */
  readonly keys: readonly string[];
}

function one(name: string, keys: string, ...parts: readonly (readonly string[])[]): CommandCase {
  return { name, keys: keys.split(' '), parts };
}

const SETS = ['SADD ~s1 a b c', 'SADD ~s2 b c d'];
const SETS_GONE = ['SREM ~s1 b', 'DEL ~s2'];
const ZSETS = ['ZADD ~z1 1 a 2 b 3 c', 'ZADD ~z2 10 b 20 c', 'SADD ~m a c'];
const ZSETS_GONE = ['DEL ~z1 ~z2', 'SADD ~m x'];
const LISTS = ['RPUSH ~l1 a b c', 'RPUSH ~l2 x'];
const PLACES = ['GEOADD ~g1 1 1 here 2 2 there 50 50 away'];
const BITS = ['SET ~b1 abc', 'SET ~b2 \u007f'];

const MOVES: readonly CommandCase[] = [
  one(
    'RENAME',
    'to',
    ['SET ~from 1 PX 900000', 'SET ~to old'],
    ['RENAME ~from ~to'],
    ['SET ~from 9'],
  ),
  one('RENAME of a key that is gone since', 'from', ['SET ~from 1'], ['RENAME ~from ~to']),
  one(
    'RENAME that leaves its expiry',
    'to',
    ['SET ~to 1 PX 900000', 'SET ~from 2'],
    ['RENAME ~from ~to'],
  ),
  one('RENAMENX', 'to', ['SET ~from 1', 'SET ~to 2'], ['DEL ~to'], ['RENAMENX ~from ~to']),
  one('COPY', 'to', ['HSET ~from f v'], ['COPY ~from ~to'], ['HSET ~from f w']),
  one(
    'COPY REPLACE',
    'to',
    ['SET ~to x', 'RPUSH ~from a'],
    ['COPY ~from ~to REPLACE'],
    ['RPUSH ~from b', 'RPUSH ~to c'],
  ),
  one(
    'COPY into another database',
    'to',
    ['SET ~from 1 PX 900000'],
    ['COPY ~from ~to DB 1'],
    ['@1 APPEND ~to 2', 'DEL ~from'],
  ),
  one(
    'COPY DB REPLACE',
    'from',
    ['SET ~from 1', '@1 SET ~from 2'],
    ['COPY ~from ~from DB 1 REPLACE'],
    ['APPEND ~from 3'],
  ),
  one('MOVE', 'k', ['RPUSH ~k a'], ['MOVE ~k 1'], ['@1 RPUSH ~k b'], ['RPUSH ~k c']),
  one('MOVE there and back', 'k', ['SET ~k 1'], ['MOVE ~k 1'], ['@1 INCR ~k'], ['@1 MOVE ~k 0']),
  one('DEL of many', 'a c', ['MSET ~a 1 ~b 2 ~c 3'], ['DEL ~a ~b'], ['UNLINK ~x ~b']),
  one('MSET', 'b', ['SET ~a x'], ['MSET ~a 1 ~b 2'], ['INCR ~b']),
  one('MSETNX', 'b', ['SET ~a x', 'SET ~b y'], ['DEL ~a ~b'], ['MSETNX ~a 1 ~b 2'], ['INCR ~b']),
  one('a plain SET ends what came before', 'k', ['SET ~o 1'], ['RENAME ~o ~k'], ['SET ~k 2']),
];

const LISTS_MOVED: readonly CommandCase[] = [
  one('RPOPLPUSH, its target', 'l2', LISTS, ['RPOPLPUSH ~l1 ~l2'], ['DEL ~l1']),
  one('RPOPLPUSH, its source', 'l1', LISTS, ['RPOPLPUSH ~l1 ~l2'], ['DEL ~l2']),
  one('LMOVE', 'l2', LISTS, ['LMOVE ~l1 ~l2 LEFT RIGHT'], ['LPOP ~l1']),
  one('BLMOVE', 'l2', LISTS, ['BLMOVE ~l1 ~l2 LEFT LEFT 1'], ['LPOP ~l1']),
  one('BRPOPLPUSH', 'l2', LISTS, ['BRPOPLPUSH ~l1 ~l2 1'], ['LPOP ~l1']),
  one('LMPOP', 'l2', ['RPUSH ~l2 x y z'], ['LMPOP 2 ~l1 ~l2 LEFT COUNT 2'], ['RPUSH ~l1 q']),
  one('BLMPOP', 'l2', ['RPUSH ~l2 x y z'], ['BLMPOP 1 2 ~l1 ~l2 RIGHT'], ['RPUSH ~l1 q']),
  one('SORT STORE', 'to', ['RPUSH ~l 3 1 2'], ['SORT ~l STORE ~to'], ['DEL ~l', 'RPUSH ~to 4']),
];

const SETS_STORED: readonly CommandCase[] = [
  one('SMOVE, its target', 's2', SETS, ['SMOVE ~s1 ~s2 a'], ['DEL ~s1']),
  one('SMOVE, its source', 's1', SETS, ['SMOVE ~s1 ~s2 a'], ['DEL ~s2']),
  one('SINTERSTORE', 'to', SETS, ['SINTERSTORE ~to ~s1 ~s2'], SETS_GONE),
  one('SUNIONSTORE', 'to', SETS, ['SUNIONSTORE ~to ~s1 ~s2'], SETS_GONE, ['SADD ~to z']),
  one('SDIFFSTORE', 'to', SETS, ['SDIFFSTORE ~to ~s1 ~s2'], SETS_GONE),
  one('a store over its own source', 's1', SETS, ['SDIFFSTORE ~s1 ~s1 ~s2'], ['DEL ~s2']),
  one('a store of nothing', 'to', [...SETS, 'SADD ~to x'], ['SINTERSTORE ~to ~s1 ~none']),
  one('SORT of a set', 'to', SETS, ['SORT ~s1 ALPHA DESC STORE ~to'], SETS_GONE),
];

const ZSETS_STORED: readonly CommandCase[] = [
  one(
    'ZUNIONSTORE with weights',
    'to',
    ZSETS,
    ['ZUNIONSTORE ~to 2 ~z1 ~m WEIGHTS 2 -3'],
    ZSETS_GONE,
  ),
  one('ZINTERSTORE', 'to', ZSETS, ['ZINTERSTORE ~to 2 ~z1 ~z2 AGGREGATE MAX'], ZSETS_GONE),
  one('ZDIFFSTORE', 'to', ZSETS, ['ZDIFFSTORE ~to 2 ~z1 ~z2'], ZSETS_GONE),
  one('ZRANGESTORE', 'to', ZSETS, ['ZRANGESTORE ~to ~z1 (1 +inf BYSCORE'], ZSETS_GONE),
  one('ZMPOP', 'z2', ZSETS, ['ZMPOP 2 ~none ~z2 MIN'], ['ZADD ~none 1 a']),
  one('BZMPOP', 'z1', ZSETS, ['BZMPOP 1 2 ~z1 ~z2 MAX'], ['DEL ~z2']),
  one(
    'GEOSEARCHSTORE',
    'to',
    PLACES,
    ['GEOSEARCHSTORE ~to ~g1 FROMLONLAT 0 0 BYRADIUS 900 km'],
    ['DEL ~g1'],
  ),
  one('GEORADIUS STORE', 'to', PLACES, ['GEORADIUS ~g1 0 0 900 km STORE ~to'], ['DEL ~g1']),
  one(
    'GEORADIUSBYMEMBER STOREDIST',
    'to',
    PLACES,
    ['GEORADIUSBYMEMBER ~g1 here 900 km STOREDIST ~to'],
    ['DEL ~g1'],
  ),
];

const REST: readonly CommandCase[] = [
  one('BITOP', 'to', BITS, ['BITOP XOR ~to ~b1 ~b2'], ['DEL ~b1 ~b2', 'SETBIT ~to 3 1']),
  one('BITOP NOT', 'to', BITS, ['BITOP NOT ~to ~b1'], ['SET ~b1 x']),
  one(
    'PFMERGE',
    'h2',
    ['PFADD ~h1 a b c', 'PFADD ~h2 d'],
    ['PFMERGE ~h2 ~h1'],
    ['DEL ~h1'],
    ['PFADD ~h2 e'],
  ),
  one('PFCOUNT, which renews what it counted', 'h1', ['PFADD ~h1 a b c'], ['PFCOUNT ~h1']),
  one(
    'groups and claims of a stream',
    'x',
    ['XADD ~x 1-1 f v', 'XADD ~x 2-1 f w'],
    ['XGROUP CREATE ~x g 0', 'XREADGROUP GROUP g anna COUNT 2 STREAMS ~x >'],
    ['XCLAIM ~x g ben 0 1-1', 'XACK ~x g 2-1'],
    ['XADD ~x 3-1 f z', 'XTRIM ~x MAXLEN 2'],
  ),
  one(
    'a stream under another name',
    'to',
    ['XADD ~x 1-1 f v'],
    ['XGROUP CREATE ~x g 0'],
    ['XREADGROUP GROUP g anna STREAMS ~x >', 'RENAME ~x ~to'],
    ['XADD ~to 2-1 f w', 'XADD ~x 9-9 f other'],
  ),
  one(
    'a transaction',
    'd',
    ['SET ~a 1'],
    ['MULTI', 'RENAME ~a ~b', 'COPY ~b ~c', 'EXEC'],
    ['MULTI', 'INCR ~c', 'RENAME ~c ~d', 'SET ~b other', 'EXEC'],
  ),
  one(
    'a transaction across databases',
    'k',
    ['SET ~k 1'],
    ['MULTI', 'MOVE ~k 1', 'SELECT 1', 'INCR ~k', 'COPY ~k ~k DB 2', 'EXEC'],
    ['@2 INCR ~k'],
  ),
  one(
    'a key that others of its name stand beside',
    'k',
    ['SET ~k 1'],
    ['@1 SET ~k 9'],
    ['INCR ~k'],
  ),
  one(
    'keys that become each other',
    'a',
    ['SET ~a 1', 'SET ~b 2'],
    ['RENAME ~a ~t'],
    ['RENAME ~b ~a', 'RENAME ~t ~b'],
    ['APPEND ~a x', 'APPEND ~b y'],
  ),
  one(
    'a chain through all kinds',
    'last',
    ['RPUSH ~q c b a', 'SADD ~s1 a b'],
    ['LMOVE ~q ~w LEFT RIGHT', 'LMOVE ~q ~w LEFT RIGHT', 'DEL ~q'],
    ['SORT ~w ALPHA STORE ~l', 'DEL ~w'],
    ['RENAME ~l ~l2', 'SUNIONSTORE ~s2 ~s1', 'DEL ~s1'],
    ['ZUNIONSTORE ~z 1 ~s2', 'COPY ~l2 ~l3 DB 1', 'DEL ~s2 ~l2'],
    ['ZRANGESTORE ~z2 ~z 0 0', '@1 MOVE ~l3 0', 'DEL ~z'],
    ['RENAME ~z2 ~last', 'DEL ~l3'],
  ),
];

/** Every command of redis-facts section 6 that stands in a log as such. */
export const COMMAND_CASES: readonly CommandCase[] = [
  ...MOVES,
  ...LISTS_MOVED,
  ...SETS_STORED,
  ...ZSETS_STORED,
  ...REST,
];

/** Databases emptied or exchanged: these cannot stand beside others. */
export const GLOBAL_CASES: readonly CommandCase[] = [
  one('SWAPDB', 'k', ['SET ~k 1', '@1 SET ~k 2'], ['SWAPDB 0 1'], ['APPEND ~k 3'], ['@1 DEL ~k']),
  one(
    'SWAPDB twice',
    'k',
    ['SET ~k 1', '@1 SET ~k 2', '@2 SET ~k 3'],
    ['SWAPDB 0 1'],
    ['INCR ~k', 'SWAPDB 1 2'],
    ['SWAPDB 0 2', 'APPEND ~k x'],
  ),
  one(
    'SWAPDB between a copy and its source',
    'to',
    ['SET ~from 1'],
    ['SWAPDB 0 1'],
    ['@1 INCR ~from', '@1 COPY ~from ~to DB 0'],
    ['SWAPDB 0 1', 'FLUSHDB', 'SWAPDB 0 1', 'SWAPDB 1 2'],
  ),
  one(
    'SWAPDB in a transaction',
    'k',
    ['SET ~k 1', '@1 SET ~k 2'],
    ['MULTI', 'INCR ~k', 'SWAPDB 0 1', 'INCR ~k', 'MOVE ~k 2', 'EXEC'],
    ['INCR ~k'],
  ),
  one('FLUSHDB', 'k gone', ['MSET ~k 1 ~gone 1', '@1 SET ~k 5'], ['FLUSHDB'], ['INCR ~k']),
  one('FLUSHDB of another database', 'k', ['SET ~k 1', '@1 SET ~k 5'], ['@1 FLUSHDB'], ['INCR ~k']),
  one(
    'FLUSHDB of what another was moved from',
    'k',
    ['SET ~k 1'],
    ['MOVE ~k 1', 'SET ~k 8'],
    ['FLUSHDB ASYNC'],
    ['@1 INCR ~k', '@1 MOVE ~k 0'],
  ),
  one('FLUSHALL', 'k gone', ['MSET ~k 1 ~gone 1', '@1 SET ~k 5'], ['FLUSHALL'], ['INCR ~k']),
  one(
    'FLUSHALL and a key that came before it',
    'k',
    ['SET ~k 1'],
    ['INCR ~k'],
    ['FLUSHALL'],
    ['SET ~other 1'],
  ),
  one(
    'FLUSHDB after SWAPDB',
    'k',
    ['SET ~k 1', '@1 SET ~k 2'],
    ['SWAPDB 0 1', 'FLUSHDB'],
    ['@1 APPEND ~k 9', 'SWAPDB 0 1'],
  ),
];
