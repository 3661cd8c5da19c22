import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  COMMANDS,
  CommandDecoder,
  KEY_EFFECT,
  rewriteCommandExpiry,
  visitExpiries,
  visitKeys,
  type CommandBatch,
  type NewExpiry,
} from '@tidemark/aof';
import { bytesOf, collectBytes } from '@tidemark/core';
import type { Redis } from 'ioredis';
import { split } from '../support/command-log.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const DAY_MS = 86_400_000;

/** Writes of every kind that Redis 7.0 has; each reaches the log, as itself or rewritten. */
const WORKLOAD: readonly string[] = `
SET s1 hello | APPEND s1 -world | SETRANGE s1 1 E | SETBIT bits 7 1 | BITFIELD bits SET u8 8 200
SET s2 v EX 5000 | SET s3 v PX 5000000 | SETEX s4 5000 v | PSETEX s5 5000000 v | SETNX s6 v
SET s7 v EXAT 4000000000 | SET s7 w KEEPTTL | SET s8 a | SET s8 b GET | SET s8 c XX | GETSET s8 d
SET del1 x | SET del2 x | SET del3 x | GETDEL del1 | DEL del2 nothere | UNLINK del3 | GETEX s1 EX 6000
GETEX s1 PERSIST | INCR n | DECR n | INCRBY n 5 | DECRBY n 2 | INCRBYFLOAT f 1.5
MSET m1 1 m2 2 m3 3 | MSETNX m4 4 m5 5 | BITOP OR bitdest bits s1 | BITOP NOT bitnot bits
EXPIRE m1 5000 | PEXPIRE m2 5000000 | EXPIREAT m3 4000000001 | PEXPIREAT m4 4000000002000 NX | PERSIST m1
RENAME m5 m6 | RENAMENX m6 m7 | COPY m7 m8 | COPY m7 m9 DB 3 | COPY m7 m8 REPLACE | MOVE m8 4
RPUSH l1 a b c d e f g | LPUSH l1 z | RPUSHX l1 y | LPUSHX l1 w | LINSERT l1 BEFORE a b2 | LSET l1 0 q
LREM l1 1 c | LTRIM l1 0 20 | LPOP l1 | RPOP l1 2 | RPOPLPUSH l1 l2 | LMOVE l1 l2 LEFT RIGHT
BLMOVE l1 l2 RIGHT LEFT 1 | BRPOPLPUSH l1 l2 1 | BLPOP nol l2 1 | BRPOP l2 1 | LMPOP 2 nol l2 LEFT
RPUSH l3 a b c d | BLMPOP 1 2 nol l3 RIGHT COUNT 2 | SORT l3 ALPHA STORE sorted
MSET w_a 2 w_b 1 | SORT l3 BY w_* GET # STORE sorted2
SADD set1 a b c d e f | SADD set2 b c | SREM set1 f | SMOVE set1 set2 e | SPOP set1 | SPOP set1 2
SINTERSTORE sdest set1 set2 | SUNIONSTORE sdest2 set1 set2 | SDIFFSTORE sdest3 set2 set1
HSET h a 1 b 2 c 3 | HMSET h d 4 | HSETNX h e 5 | HINCRBY h a 3 | HINCRBYFLOAT h b 0.5 | HDEL h c
ZADD z1 1 a 2 b 3 c 4 d 5 e 6 f | ZADD z2 1 a 9 q | ZINCRBY z1 2 a | ZREM z1 b | ZPOPMIN z1 | ZPOPMAX z1
ZUNIONSTORE zd 2 z1 z2 WEIGHTS 1 2 | ZINTERSTORE zd2 2 z1 z2 | ZDIFFSTORE zd3 2 z2 z1
ZUNIONSTORE zd4 1 z1 | ZRANGESTORE zd5 z1 0 -1 | ZMPOP 2 noz z1 MIN | BZMPOP 1 2 noz z1 MAX | BZPOPMIN zd 1
ZADD z5 0 a 0 b 0 c 1 x 2 y 3 w | ZREMRANGEBYLEX z5 [a [a | ZREMRANGEBYSCORE z5 2 2 | ZREMRANGEBYRANK z5 0 0
GEOADD g 13.36 38.11 palermo 15.08 37.5 catania | GEOSEARCHSTORE g2 g FROMLONLAT 15 37 BYRADIUS 300 km
GEORADIUS g 15 37 300 km STORE g3 | GEORADIUSBYMEMBER g palermo 300 km STOREDIST g4
PFADD hll1 a b c | PFADD hll2 c d | PFMERGE hll3 hll1 hll2 | PFCOUNT hll3 | PFADD hll1 zz | PFCOUNT hll1
XADD x 1-1 f v | XADD x MAXLEN 100 3-0 f v | XADD x * f v | XGROUP CREATE x grp 0 | XGROUP CREATE x2 g $ MKSTREAM
XREADGROUP GROUP grp alice COUNT 2 STREAMS x > | XGROUP CREATECONSUMER x grp bob | XACK x grp 1-1
XCLAIM x grp bob 0 3-0 | XAUTOCLAIM x grp carol 0 0 | XGROUP SETID x grp $ | XGROUP DELCONSUMER x grp bob
XDEL x 1-1 | XTRIM x MAXLEN 1 | XSETID x 9999999999999-1 | XGROUP DESTROY x2 g
FUNCTION LOAD #!lua~name=lib\\nredis.register_function('fun',function(k,a)~return~redis.call('SET',k[1],a[1])~end)
FCALL fun 1 fk fv | EVAL redis.call('SET',KEYS[1],1)redis.call('INCR',KEYS[2]) 2 e1 e2
SELECT 5 | SET other 1 | SWAPDB 5 6 | SELECT 0 | FLUSHDB ASYNC | SELECT 0 | SET after flush
MULTI | SET t1 1 | SET t2 2 PX 7000000 | EXEC | PUBLISH chan msg | SCRIPT LOAD return~1 | FUNCTION DELETE lib
SET dump1 payload | SET gone soon PX 1
`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== '');

/** Enough to be over what a test lets be held back; does not compress. */
const LARGE = Array.from({ length: 100 }, (_, index) => String((index * 7919) % 10_007)).join('.');
const HELD_BYTES = 200;

/** Writes of later servers; those that the server at hand does not know are left out. */
const LATER_WORKLOAD: readonly string[] = `
HSET hf a 1 b 2 c 3 d 4 | HEXPIRE hf 5000 FIELDS 2 a b | HPEXPIREAT hf 4000000003000 FIELDS 1 c
HPERSIST hf FIELDS 1 b | HEXPIREAT hf 4000000004 NX FIELDS 1 d | HPEXPIRE hf 5000000 XX FIELDS 1 d
HSETEX hx EX 5000 FIELDS 2 a 1 b 2 | HSETEX hx FIELDS 1 c 3 | HSETEX hx EX 5000 FIELDS 1 e ${LARGE} | HSETEX hx EXAT 4000000005 FIELDS 1 d 4
HGETEX hx PXAT 4000000006000 FIELDS 1 c | HGETEX hx PERSIST FIELDS 1 a | HGETDEL hx FIELDS 1 b
MSETEX 2 mx1 v mx2 v EX 5000 | MSETEX 2 mx3 v mx4 ${LARGE} EX 5000 | SET de v | DELIFEQ de v | DELEX de
VADD vec VALUES 2 1 2 elem | VSETATTR vec elem {} | VREM vec elem
XADD xd 1-1 f v | XGROUP CREATE xd g 0 | XREADGROUP GROUP g c STREAMS xd > | XACKDEL xd g IDS 1 1-1
XADD xd 2-1 f v | XDELEX xd IDS 1 2-1
`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== '');

const spaced = (text: string): string => text.replaceAll('~', ' ').replaceAll('\\n', '\n');

let server: RedisServer;
let client: Redis;
let aof: Buffer;

async function incrFile(target: RedisServer): Promise<string> {
  const names = await readdir(target.aofDir);
  const name = names.find((entry) => entry.endsWith('.incr.aof'));
  expect(name).toBeDefined();
  return join(target.aofDir, name!);
}

beforeAll(async () => {
  // Else the server may put a write off while its disk is busy, and the log is read too soon.
  server = await startRedis({ config: { appendfsync: 'always' } });
  client = await server.connect();
  // The second round, without its flush, leaves keys to compare at the end.
  const again = WORKLOAD.filter((line) => !line.startsWith('FLUSHDB'));
  for (const line of [...WORKLOAD, 'FLUSHALL', ...again]) {
    const [name = '', ...args] = line.split(' ').map(spaced);
    await client.call(name, ...args);
  }
  await client.call('SET', 'large1', LARGE, 'PX', '6000000');
  const large = await client.callBuffer('DUMP', 'large1');
  await client.call('RESTORE', 'large2', '6000000', large as Buffer);
  for (const line of LATER_WORKLOAD) {
    const [name = '', ...args] = line.split(' ');
    const [info] = (await client.call('COMMAND', 'INFO', name)) as unknown[];
    if (info !== null) await client.call(name, ...args);
  }
  const dump = await client.callBuffer('DUMP', 'dump1');
  await client.call('RESTORE', 'restored1', '0', dump as Buffer);
  await client.call('RESTORE', 'restored2', '6000000', dump as Buffer, 'REPLACE');
  while ((await client.call('EXISTS', 'gone')) !== 0) await setTimeout(5);
  aof = await readFile(await incrFile(server));
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Every command of the log with what it takes to ask the server about it. */
function eachCommand(
  bytes: Buffer,
  see: (batch: CommandBatch, row: number, args: readonly Buffer[]) => void,
): CommandDecoder {
  const decoder = new CommandDecoder();
  for (const chunk of split(bytes, 1000)) {
    for (const batch of decoder.push(chunk)) {
      for (let row = 0; row < batch.count; row += 1) {
        const at = batch.argAt[row]!;
        const args = Array.from({ length: batch.argc[row]! }, (_, index) =>
          Buffer.from(batch.data.subarray(batch.argStart[at + index], batch.argEnd[at + index])),
        );
        see(batch, row, args);
      }
    }
  }
  decoder.end();
  return decoder;
}

interface Keys {
  readonly written: readonly string[];
  readonly read: readonly string[];
}
const keysAsSets = (keys: readonly { key: string; write: boolean }[]): Keys => ({
  written: [...new Set(keys.filter(({ write }) => write).map(({ key }) => key))].sort(),
  read: [...new Set(keys.filter(({ write }) => !write).map(({ key }) => key))].sort(),
});

/** The server's own word, from its key specs: which keys it writes, which it only reads. */
async function askServer(args: readonly Buffer[]): Promise<Keys> {
  if (args.length === 1) return { written: [], read: [] };
  try {
    const reply = (await client.call('COMMAND', 'GETKEYSANDFLAGS', ...args)) as [
      string,
      string[],
    ][];
    return keysAsSets(reply.map(([key, flags]) => ({ key, write: !flags.includes('RO') })));
  } catch (error) {
    expect(String(error)).toContain('no key arguments');
    return { written: [], read: [] };
  }
}

describe('the command log of redis-server 7.0', () => {
  it('holds only commands that the table knows, with marks and whole transactions', () => {
    const names = new Set<string>();
    const unknown: string[] = [];
    const decoder = eachCommand(aof, (batch, row, args) => {
      const spec = COMMANDS[batch.spec[row]!]!;
      names.add(spec.name);
      if (batch.spec[row] === 0) unknown.push(args[0]!.toString());
    });
    expect(unknown).toEqual([]);
    expect(names.size).toBeGreaterThan(70);
    expect(decoder.boundary).toBe(decoder.offset);
    expect(aof.toString('latin1')).toContain('#TS:');
    expect(decoder.offset).toBeLessThan(BigInt(aof.length));
  });

  it('names the same written and read keys as the key specs of the server', async () => {
    const asked: { args: Buffer[]; keys: Keys; effect: number }[] = [];
    eachCommand(aof, (batch, row, args) => {
      const keys: { key: string; write: boolean }[] = [];
      const effect = visitKeys(batch, row, (_db, start, end, write) => {
        keys.push({ key: batch.data.toString('latin1', start, end), write });
      });
      asked.push({ args: [...args], keys: keysAsSets(keys), effect });
    });
    let multi = 0;
    for (const { args, keys, effect } of asked) {
      const line = args.map((arg) => arg.toString('latin1')).join(' ');
      const name = args[0]!.toString().toLowerCase();
      const server = await askServer(args);
      // PFCOUNT of one key renews its cache; SORT's target is not in the key specs' flags.
      expect({ line, ...keys }).toEqual({ line, ...server });
      if (effect === KEY_EFFECT.multi) multi += 1;
      if (effect === KEY_EFFECT.unknown) expect([name, line]).toEqual(['sort', expect.any(String)]);
      if (effect === KEY_EFFECT.single) expect(keys.written.length + keys.read.length).toBe(1);
    }
    expect(multi).toBeGreaterThan(40);
  });

  it('tells the expiry of every key that has one', async () => {
    const last = new Map<string, number>();
    eachCommand(aof, (batch, row) => {
      if (row !== 0) return;
      const untold = visitExpiries(batch, (db, start, end, expiryMs) => {
        last.set(`${db}:${batch.data.toString('latin1', start, end)}`, expiryMs);
      });
      expect(untold).toBe(0);
    });
    const expiries = await expiriesOf(client);
    expect(expiries.size).toBeGreaterThan(8);
    for (const [key, expiryMs] of expiries) expect([key, last.get(key)]).toEqual([key, expiryMs]);
  });
});

/** `db:key` and expiry of every key that has one, in the databases of the workload. */
async function expiriesOf(target: Redis): Promise<Map<string, number>> {
  const expiries = new Map<string, number>();
  for (const db of [0, 3, 4, 5, 6]) {
    await target.select(db);
    for (const key of await target.keys('*')) {
      const expiryMs = Number(await target.call('PEXPIRETIME', key));
      if (expiryMs >= 0) expiries.set(`${db}:${key}`, expiryMs);
    }
  }
  await target.select(0);
  return expiries;
}

/** `hash.field` and expiry of every field that has one; none where fields cannot have one. */
async function fieldExpiriesOf(target: Redis): Promise<Map<string, number>> {
  const expiries = new Map<string, number>();
  const [info] = (await target.call('COMMAND', 'INFO', 'HPEXPIRETIME')) as unknown[];
  for (const hash of info === null ? [] : ['hf', 'hx']) {
    for (const field of await target.hkeys(hash)) {
      const reply = (await target.call('HPEXPIRETIME', hash, 'FIELDS', 1, field)) as number[];
      if (reply[0]! >= 0) expiries.set(`${hash}.${field}`, reply[0]!);
    }
  }
  return expiries;
}

/** Expiries of keys and fields. */
async function allExpiriesOf(target: Redis): Promise<Map<string, number>> {
  return new Map([...(await expiriesOf(target)), ...(await fieldExpiriesOf(target))]);
}

describe('a server that loads a rewritten log', () => {
  const load = async (
    newExpiry: NewExpiry,
    holdBytesMax?: number,
  ): Promise<Map<string, number>> => {
    await using target = await startRedis();
    await target.stop();
    const options = { newExpiry, ...(holdBytesMax === undefined ? {} : { holdBytesMax }) };
    const rewritten = await collectBytes(
      rewriteCommandExpiry(bytesOf(...split(aof, 100)), options),
      1e8,
      () => new Error('too long'),
    );
    await writeFile(await incrFile(target), rewritten);
    await target.restart();
    const other = await target.connect();
    expect(await other.dbsize()).toBe(await client.dbsize());
    for (const key of ['large1', 'large2']) expect(await other.get(key)).toBe(LARGE);
    return await allExpiriesOf(other); // before the server goes
  };

  it.each([undefined, HELD_BYTES])('holds every expiry moved (held back: %s)', async (held) => {
    const before = await allExpiriesOf(client);
    const after = await load((expiryMs) => expiryMs + DAY_MS, held);
    expect(after).toEqual(new Map([...before].map(([key, ms]) => [key, ms + DAY_MS])));
  });

  it.each([undefined, HELD_BYTES])('holds no expiry when all go (held back: %s)', async (held) => {
    expect(await load(() => null, held)).toEqual(new Map());
  });
});
