import type { Operation } from './dependency-operations.ts';
import type { Words } from './scene.ts';

/** Reads one key that is not declared, and writes what it found into others of two databases. */
const SPREAD = `
local found = redis.call('LRANGE', KEYS[1], 0, 2)
local loot = redis.call('SPOP', KEYS[2])
if loot then redis.call('RPUSH', KEYS[1], loot) end
redis.call('RENAME', KEYS[3], KEYS[4])
redis.call('SELECT', ARGV[1])
for _, one in ipairs(found) do redis.call('SADD', KEYS[2], one) end
redis.call('SUNIONSTORE', KEYS[2], KEYS[2], 'tags:12')
redis.call('COPY', KEYS[4], KEYS[3], 'DB', ARGV[2], 'REPLACE')
return #found`;

/** Fails after its first write, which stays. */
const HALF = `
redis.call('INCR', KEYS[1])
return redis.call('LPUSH', KEYS[1], 'not a list')`;

const LIBRARY = `#!lua name=stock
redis.register_function('stock_pass', function(keys, args)
  redis.call('HINCRBY', keys[1], 'passed', 1)
  local one = redis.call('LMOVE', keys[2], keys[3], 'LEFT', 'RIGHT')
  if one then redis.call('ZADD', keys[4], redis.call('ZCARD', keys[4]), one) end
  return redis.call('TIME')
end)`;

/** What must be there before the other operations. */
export function openingLibrary(): Words[] {
  return [['FUNCTION', 'LOAD', 'REPLACE', LIBRARY]];
}

/** Scripts and functions that carry data from key to key. */
export const scriptOperations: readonly Operation[] = [
  (at) => {
    const keys = [at.of('cart'), at.of('tags'), ...at.pair()];
    return [['EVAL', SPREAD, keys.length, ...keys, at.db(), at.db()]];
  },
  (at) => [['EVAL', HALF, 1, at.of('visits')]],
  (at) => {
    const keys = [at.of('profile'), ...at.several('cart', 2), at.of('board')];
    return [['FCALL', 'stock_pass', keys.length, ...keys]];
  },
];
