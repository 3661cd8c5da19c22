import type { Scene, Words } from './scene.ts';

/** Writes to several keys, with the clock and chance of the server. */
const TRANSFER = `
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'at', now[1] .. '.' .. now[2], 'by', ARGV[1])
local moved = redis.call('SPOP', KEYS[2])
if moved then redis.call('LPUSH', KEYS[3], moved) end
for i = 1, 3 do redis.call('ZADD', KEYS[4], math.random(100), ARGV[1] .. i) end
return moved`;

/** Fails after its first write, which stays. */
const HALF = `
redis.call('INCR', KEYS[1])
return redis.call('LPUSH', KEYS[1], 'not a list')`;

/** Writes in two databases and goes on after an error. */
const ACROSS = `
redis.call('SELECT', ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
redis.pcall('LPUSH', KEYS[1], 1)
redis.call('SELECT', ARGV[3])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return redis.call('APPEND', KEYS[1], '!')`;

/** Reads only: leaves nothing in the log. */
const LOOK = `return redis.call('EXISTS', KEYS[1])`;

const library = (name: string, step: number): string => `#!lua name=${name}
redis.register_function('${name}_mark', function(keys, args)
  redis.call('HINCRBY', keys[1], 'marks', ${step})
  redis.call('RPUSH', keys[2], args[1])
  return redis.call('TIME')
end)
redis.register_function{function_name='${name}_look', flags={'no-writes'},
  callback=function(keys) return redis.call('TYPE', keys[1]) end}`;

const database = (at: Scene): number => at.dice.between(0, at.databases - 1);
const libraryName = (at: Scene): string => at.dice.pick(['stock', 'price']);

/** What must be there before the other operations: libraries. */
export function openingScripts(): Words[] {
  return [
    ['FUNCTION', 'LOAD', 'REPLACE', library('stock', 1)],
    ['FUNCTION', 'LOAD', 'REPLACE', library('price', 2)],
  ];
}

/** Scripts and functions that write several keys. */
export const scriptOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [
    [
      'EVAL',
      TRANSFER,
      4,
      at.key('hash'),
      at.key('set'),
      at.key('list'),
      at.key('zset'),
      at.value(),
    ],
  ],
  (at) => [['EVAL', HALF, 1, at.key('counter')]],
  (at) => [
    ['EVAL', ACROSS, 1, at.key('string'), database(at), at.value(), database(at), at.lifeMs()],
  ],
  (at) => [['EVAL', LOOK, 1, at.key('string')]],
  (at) => [['FCALL', `${libraryName(at)}_mark`, 2, at.key('hash'), at.key('list'), at.value()]],
  (at) => [['FCALL_RO', `${libraryName(at)}_look`, 1, at.key('hash')]],
  (at) => {
    const name = libraryName(at);
    if (!at.dice.once(6)) return [];
    const load: Words = ['FUNCTION', 'LOAD', 'REPLACE', library(name, at.dice.between(1, 9))];
    return at.dice.once(3) ? [['FUNCTION', 'DELETE', name], load] : [load];
  },
];
