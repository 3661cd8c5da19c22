import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandName } from '@tidemark/archive';
import { CommandDecoder } from '@tidemark/aof';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { noteOnName } from '../../../services/restorer/src/find/logged-names.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { serverBinaries } from '../../support/servers.ts';

/** Commands that make what the last one of a line is tried on; a dot stands for a new key. */
const CASES: readonly string[] = `
SET . v | EXPIRE . 5000
SET . v | EXPIRE . -1
SET . v | EXPIREAT . 4000000000
SET . v | PEXPIRE . 5000000
SETEX . 5000 v
PSETEX . 5000000 v
SET . v | GETSET . w
SET . v | GETEX . EX 5000
SET . v EX 5000 | GETEX . PERSIST
SET . v | GETDEL .
SET . v | DELEX .
SET . v | DELEX . IFEQ v
HSET . f v | HEXPIRE . 0 FIELDS 1 f
SET . v | GETEX . PXAT 1
SET . v | DELIFEQ . v
INCRBYFLOAT . 1.5
HINCRBYFLOAT . f 1.5
SADD . a b c | SPOP .
SADD . a b c | SPOP . 3
RPUSH . a b c | BLPOP . 1
RPUSH . a b c | BRPOP . 1
RPUSH . a b c | LMPOP 1 . LEFT
RPUSH . a b c | BLMPOP 1 1 . RIGHT COUNT 2
RPUSH . a b c | BRPOPLPUSH . other 1
RPUSH . a b c | BLMOVE . other LEFT LEFT 1
ZADD . 1 a 2 b | BZPOPMIN . 1
ZADD . 1 a 2 b | BZPOPMAX . 1
ZADD . 1 a 2 b | ZMPOP 1 . MIN
ZADD . 1 a 2 b | BZMPOP 1 1 . MAX
XADD . 1-1 f v | XGROUP CREATE . g 0 | XREADGROUP GROUP g c STREAMS . >
XADD . 1-1 f v | XGROUP CREATE . g 0 | XREADGROUP GROUP g c STREAMS . > | XAUTOCLAIM . g d 0 0
HSET . f v | HEXPIRE . 5000 FIELDS 1 f
HSET . f v | HPEXPIRE . 5000000 FIELDS 1 f
HSET . f v | HEXPIREAT . 4000000000 FIELDS 1 f
HSET . f v | HGETEX . EX 5000 FIELDS 1 f
HSET . f v g w | HGETDEL . FIELDS 1 f
GEOADD . 13.36 38.11 palermo
EVAL redis.call('SET',KEYS[1],1) 1 .
`
  .split('\n')
  .filter((line) => line !== '');

/** Commands that stand between others and change nothing. */
const FRAMING = new Set(['select', 'multi', 'exec']);

describe.each(serverBinaries())('$name', ({ binary }) => {
  it('logs commands as the notes on their names say', async () => {
    // With everysec a server puts writing off while it syncs.
    const config = { save: '', appendfsync: 'always' };
    await using server = await startRedis({ binary, config });
    const client = await server.connect();
    const wrong: string[] = [];
    let tried = 0;
    for (const [number, line] of CASES.entries()) {
      const commands = line.split(' | ').map((text) => text.split(' '));
      const [name = ''] = commands.at(-1) ?? [];
      const logged = await loggedBy(server, client, commands, `key:${String(number)}`);
      if (logged === null) continue;
      tried += 1;
      const note = noteOnName(name.toLowerCase());
      const unsaid = logged.filter((one) => note?.instead.includes(one) !== true);
      const script = note?.instead.length === 0;
      if (note === null || logged.length === 0 || (unsaid.length > 0 && !script)) {
        wrong.push(`${line}: ${logged.join(' ')}`);
      }
    }
    client.disconnect();
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(15);
  });
});

/** What the last of some commands is logged as; null when the server does not know it. */
async function loggedBy(
  server: RedisServer,
  client: Redis,
  commands: readonly (readonly string[])[],
  key: string,
): Promise<string[] | null> {
  let before = 0;
  for (const words of commands) {
    before = namesIn(server).length;
    const [name = '', ...args] = words.map((word) => (word === '.' ? key : word));
    try {
      await client.call(name, ...args);
    } catch (error) {
      if (/unknown command|syntax error/i.test((error as Error).message)) return null;
      throw error;
    }
  }
  return namesIn(server)
    .slice(before)
    .filter((one) => !FRAMING.has(one));
}

function namesIn(server: RedisServer): string[] {
  const decoder = new CommandDecoder();
  const names: string[] = [];
  for (const batch of decoder.push(readFileSync(logOf(server)))) {
    for (let row = 0; row < batch.count; row++) names.push(commandName(batch, row));
  }
  return names;
}

function logOf({ aofDir, dir }: RedisServer): string {
  if (!existsSync(aofDir)) return join(dir, 'appendonly.aof'); // before 7.0
  return join(aofDir, readdirSync(aofDir).find((name) => name.endsWith('.incr.aof')) ?? '');
}
