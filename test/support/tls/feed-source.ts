import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeCommand } from '@tidemark/resp';
import { patternBytes } from '../pattern.ts';
import { startRedis, type RedisServer } from '../redis-server.ts';
import type { Redis } from 'ioredis';

/** A source that stands still: its snapshot, the commands since, and itself to compare with. */
export interface FeedSource extends AsyncDisposable {
  readonly server: RedisServer;
  readonly client: Redis;
  readonly rdb: Buffer;
  readonly log: Buffer;
}

/** Has a server of any version write some MB of data, takes its RDB, and writes on. */
export async function feedSource(binary?: string, values = 20): Promise<FeedSource> {
  const server = await startRedis({
    aof: false,
    ...(binary === undefined ? {} : { binary }),
  });
  const client = await server.connect();
  for (let i = 0; i < values; i++) await client.set(`value:${i}`, patternBytes(1 << 20, i + 1));
  await client.select(3);
  await client.hset('hash', { a: 1, b: 2 });
  await client.pexpire('hash', 3_600_000);
  await client.call('SAVE');
  const rdb = await readFile(join(server.dir, 'dump.rdb'));
  const log: Buffer[] = [encodeCommand(['SELECT', '0'])];
  await client.select(0);
  for (let i = 0; i < 3000; i++) {
    const words = i % 3 === 0 ? ['RPUSH', 'list', String(i)] : ['INCR', `counter:${i % 7}`];
    log.push(encodeCommand(words));
    const [name = '', ...args] = words;
    // The last reply is waited for: the others came before it.
    const reply = client.call(name, ...args);
    if (i === 2999) await reply;
    else reply.catch(() => undefined);
  }
  return {
    ...{ server, client, rdb, log: Buffer.concat(log) },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
