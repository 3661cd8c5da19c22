import { NodeError } from '@tidemark/core';
import type { NodeClient } from '@tidemark/client';
import { patternBytes } from '../pattern.ts';
import { nameOf, type Words } from '../workload/scene.ts';

/** What the server that is written to can hold. */
export interface TypeOptions {
  /** Library of functions, or null before 7.0. */
  readonly functions: string | null;
  /** Hash fields with an expiry: Redis 7.4, Valkey 9.0 and newer. */
  readonly fieldExpiry: boolean;
}

const FAR_SECONDS = 4_000;

/**
 * Writes a key of every type in every encoding that servers have for it, small and large, with and
 * without expiry, under names and values of text, numbers and bytes.
 * @param prefix - Begin of every key.
 */
export async function writeTypeComplete(
  client: NodeClient,
  prefix: string,
  options: TypeOptions,
): Promise<void> {
  const commands = [
    ...strings(prefix),
    ...lists(prefix),
    ...sets(prefix),
    ...sortedSets(prefix),
    ...hashes(prefix),
    ...streams(prefix),
    ...(options.fieldExpiry ? fieldExpiries(prefix) : []),
    ...(options.functions === null ? [] : functions(options.functions)),
    ...expiries(prefix),
    ['MULTI'],
    ['SET', `${prefix}:tx`, 'a'],
    ['SADD', `${prefix}:tx-set`, 1, 'b'],
    ['EXEC'],
    [
      'EVAL',
      "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1], 'x')",
      2,
      `${prefix}:script`,
      `${prefix}:script-list`,
      'by a script',
    ],
  ] satisfies Words[];
  for (const reply of await client.pipeline(commands)) {
    if (reply instanceof NodeError) throw reply;
  }
}

const many = (count: number, make: (i: number) => Words): Words =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

function strings(prefix: string): Words[] {
  return [
    ['SET', `${prefix}:empty`, ''],
    ['SET', `${prefix}:int8`, -7],
    ['SET', `${prefix}:int16`, 30_000],
    ['SET', `${prefix}:int32`, -2_000_000_000],
    ['SET', `${prefix}:int64`, '9223372036854775807'],
    ['SET', `${prefix}:not-int`, '007'],
    ['SET', `${prefix}:text`, 'x'.repeat(60)],
    ['SET', `${prefix}:compressible`, 'tide'.repeat(20_000)],
    ['SET', `${prefix}:bytes`, Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
    ['SET', `${prefix}:large`, patternBytes(1_500_000, 7)],
    ['SETBIT', `${prefix}:bits`, 70_000, 1],
    ['PFADD', `${prefix}:hll-sparse`, 'a', 'b', 'c'],
    ['PFADD', `${prefix}:hll-dense`, ...many(3_000, (i) => [`element ${i}`])],
    // Names that are numbers are stored as such.
    ['SET', `${prefix.length}00${prefix.charCodeAt(0)}`, 'a number as a name'],
    ['SET', nameOf(`${prefix}:`, 2), 'bytes as a name'],
  ];
}

function lists(prefix: string): Words[] {
  return [
    ['RPUSH', `${prefix}:list`, 'a', '', 1, -200, 70_000, '9223372036854775807'],
    ['RPUSH', `${prefix}:list-long`, ...many(900, (i) => [patternBytes(i % 90, i)])],
    ['RPUSH', `${prefix}:list-plain`, 'before', patternBytes(70_000, 3), 'after'],
  ];
}

function sets(prefix: string): Words[] {
  return [
    ['SADD', `${prefix}:set-int16`, ...many(40, (i) => [i * 3])],
    ['SADD', `${prefix}:set-int32`, 1, 70_000, -70_000],
    ['SADD', `${prefix}:set-int64`, 1, '-9000000000000000000'],
    ['SADD', `${prefix}:set-int-many`, ...many(700, (i) => [i])],
    ['SADD', `${prefix}:set`, 'a', 'b', '12', patternBytes(20, 5)],
    ['SADD', `${prefix}:set-many`, ...many(300, (i) => [`member ${i}`])],
    ['SADD', `${prefix}:set-wide`, patternBytes(3_000, 1), 'x'],
  ];
}

const SCORES = ['-inf', '+inf', '0', '-0.5', '3', '1e-300', '1.7976931348623157e308', '0.1'];

function sortedSets(prefix: string): Words[] {
  return [
    ['ZADD', `${prefix}:zset`, ...SCORES.flatMap((score, i) => [score, `member ${i}`])],
    ['ZADD', `${prefix}:zset-ints`, ...many(10, (i) => [i, i])],
    ['ZADD', `${prefix}:zset-many`, ...many(300, (i) => [i / 7, `member ${i}`])],
    ['ZADD', `${prefix}:zset-wide`, 1, patternBytes(2_000, 9)],
    ['GEOADD', `${prefix}:geo`, 13.36, 38.11, 'Palermo', 15.08, 37.5, 'Catania'],
  ];
}

function hashes(prefix: string): Words[] {
  return [
    ['HSET', `${prefix}:hash`, 'a', 1, 'b', '', 'c', patternBytes(30, 2)],
    ['HSET', `${prefix}:hash-many`, ...many(600, (i) => [`field ${i}`, i])],
    ['HSET', `${prefix}:hash-wide`, 'large', patternBytes(100_000, 4)],
  ];
}

function streams(prefix: string): Words[] {
  const key = `${prefix}:stream`;
  const group = (name: string, ...rest: Words): Words => ['XGROUP', 'CREATE', key, name, ...rest];
  const read = (name: string, who: string, count: number): Words => [
    ...['XREADGROUP', 'GROUP', name, who, 'COUNT', count, 'STREAMS', key, '>'],
  ];
  return [
    ...Array.from({ length: 260 }, (_, i): Words => {
      const fields = i % 5 === 0 ? ['other', i, 'fields', patternBytes(i % 40, i)] : ['order', i];
      return ['XADD', key, `${1_000 + i}-${i % 3}`, ...fields];
    }),
    ['XDEL', key, '1003-0', '1100-1', '1259-1'],
    group('first', '0'),
    group('last', '$'),
    group('none', '0'),
    read('first', 'anna', 20),
    read('first', 'ben', 5),
    read('first', 'idle', 1),
    ['XACK', key, 'first', '1000-0', '1001-1', '1025-2'],
    [
      'XCLAIM',
      key,
      'first',
      'chris',
      0,
      '1020-2',
      '1021-0',
      'RETRYCOUNT',
      9,
      'TIME',
      1_600_000_000_000,
    ],
    ['XGROUP', 'CREATE', `${prefix}:stream-empty`, 'g', '0', 'MKSTREAM'],
    ['XADD', `${prefix}:stream-trimmed`, '1-1', 'a', 1],
    ['XADD', `${prefix}:stream-trimmed`, 'MAXLEN', 1, '2-1', 'a', 2],
    ['XADD', `${prefix}:stream-emptied`, '5-5', 'a', 1],
    ['XTRIM', `${prefix}:stream-emptied`, 'MAXLEN', 0],
  ];
}

function expiries(prefix: string): Words[] {
  const kept = ['text', 'list', 'set-many', 'zset', 'hash', 'stream-trimmed', 'geo', 'bytes'];
  return [
    ...kept.map((name, i): Words => ['EXPIRE', `${prefix}:${name}`, FAR_SECONDS + i]),
    ['SET', `${prefix}:expiring`, 'x', 'PX', FAR_SECONDS * 1000 + 123],
    ['EXPIRE', `${prefix}:expiring`, FAR_SECONDS],
    ['SET', `${prefix}:expired`, 'x'],
    ['PEXPIREAT', `${prefix}:expired`, 1],
  ];
}

function fieldExpiries(prefix: string): Words[] {
  const small = `${prefix}:fields`;
  const large = `${prefix}:fields-many`;
  const far = Date.now() + FAR_SECONDS * 1000;
  return [
    ['HSET', small, 'a', 1, 'b', patternBytes(10, 8), 'c', '', 'd', 4],
    ['HPEXPIREAT', small, far, 'FIELDS', 2, 'a', 'b'],
    ['HPEXPIREAT', small, far + 77, 'FIELDS', 1, 'c'],
    ['HSET', large, ...many(700, (i) => [`field ${i}`, i])],
    ['HPEXPIREAT', large, far, 'FIELDS', 300, ...many(300, (i) => [`field ${i * 2}`])],
    ['HPEXPIREAT', large, far + 1, 'FIELDS', 1, 'field 2'],
    ['HPERSIST', large, 'FIELDS', 1, 'field 4'],
    ['HSET', `${prefix}:fields-wide`, 'w', patternBytes(90_000, 6), 'x', 1],
    ['HEXPIRE', `${prefix}:fields-wide`, FAR_SECONDS, 'FIELDS', 1, 'w'],
    ['EXPIRE', `${prefix}:fields-wide`, FAR_SECONDS],
  ];
}

function functions(name: string): Words[] {
  const code = `#!lua name=${name}\nredis.register_function('${name}', function() return 'é' end)`;
  return [['FUNCTION', 'LOAD', 'REPLACE', code]];
}
