import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource } from '@tidemark/core';
import type { Redis } from 'ioredis';
import type { RedisServer } from './redis-server.ts';

/** What a source's append-only folder holds: the base of its last rewrite and the log since. */
export interface AofSource {
  readonly basePath: string;
  readonly baseBytes: number;
  readonly logPath: string;
  readonly logBytes: number;
  snapshot(): ByteSource;
  commands(from: bigint): ByteSource;
}

/** Rewrites the AOF and waits until the new base is in use. */
export async function rewriteAof(client: Redis): Promise<void> {
  await client.call('BGREWRITEAOF');
  for (;;) {
    const info = await client.info('persistence');
    if (/aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The server puts off a write while an fsync is under way (`appendfsync everysec`). */
async function untilWritten(client: Redis): Promise<void> {
  while (!/aof_buffer_length:0\r/.test(await client.info('persistence'))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Base and log of a source that does not write at present. The log must be without annotations
 * (`aof-timestamp-enabled no`), for it is taken as the command stream.
 */
export async function readAofSource(server: RedisServer, client: Redis): Promise<AofSource> {
  await untilWritten(client);
  const manifest = await readFile(join(server.aofDir, 'appendonly.aof.manifest'), 'utf8');
  const nameOf = (type: string): string => {
    const line = manifest.split('\n').findLast((text) => text.includes(` type ${type}`));
    const name = line?.split(' ')[1];
    if (name === undefined) throw new Error(`no file of type ${type} in ${manifest}`);
    return join(server.aofDir, name);
  };
  const [basePath, logPath] = [nameOf('b'), nameOf('i')];
  return {
    basePath,
    baseBytes: (await stat(basePath)).size,
    logPath,
    logBytes: (await stat(logPath)).size,
    snapshot: () => createReadStream(basePath, { highWaterMark: 256 * 1024 }),
    commands: (from) =>
      createReadStream(logPath, { start: Number(from), highWaterMark: 256 * 1024 }),
  };
}
