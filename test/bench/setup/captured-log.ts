import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { RedisServer } from '../../support/redis-server.ts';
import { sendAll } from './raw-link.ts';
import type { Tidemark } from './tidemark.ts';

/** What a source is given. */
export interface LogParts {
  /** Before the snapshot. */
  readonly base: Iterable<Buffer>;
  /** After it. */
  readonly log: Iterable<Buffer>;
}

/**
 * Writes a dataset and has it captured. The archiver starts when base and log are there already: it
 * ships one and catches up with the other, which is when it needs most memory.
 * @returns Its peak memory, bytes.
 */
export async function captureLog(
  server: RedisServer,
  client: Redis,
  tidemark: Tidemark,
  { base, log }: LogParts,
): Promise<number> {
  await sendAll(server.socketPath, base);
  await rewriteLog(client);
  await sendAll(server.socketPath, log);
  const writtenAt = await nextSecond(client);
  const archiver = await tidemark.serve();
  await untilStored(tidemark, writtenAt);
  const peak = archiver.peakBytes();
  await archiver.stop();
  return peak;
}

async function rewriteLog(client: Redis): Promise<void> {
  await client.call('BGREWRITEAOF');
  for (;;) {
    const info = await client.info('persistence');
    if (/aof_rewrite_(in_progress|scheduled):1/.exec(info) === null) return;
    await delay(100);
  }
}

/** Lets the second of the last write end, and a second more: it can then be proven. */
async function nextSecond(client: Redis): Promise<number> {
  const [second] = (await client.time()).map(Number) as [number, number];
  await delay(2_000);
  return second;
}

/** Waits until a second is stored. */
export async function untilStored(tidemark: Tidemark, second: number): Promise<void> {
  for (;;) {
    const { document: windows } = await tidemark.run<{ latest: string | null }>('windows', 'bench');
    if (windows.latest !== null && Date.parse(windows.latest) / 1000 >= second) return;
    await delay(1_000);
  }
}
