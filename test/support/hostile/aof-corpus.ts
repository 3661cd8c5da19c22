import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startRedis } from '../redis-server.ts';
import type { ServerBinary } from '../servers.ts';
import { Seeded } from './seeded.ts';

/** Commands of many kinds, with transactions and scripts, cut at random places into files. */
async function logOf(binary: string | null, transactions: number): Promise<Buffer> {
  await using server = await startRedis(binary === null ? {} : { binary });
  const redis = await server.connect();
  const random = new Seeded(5);
  for (let at = 0; at < transactions; at += 1) {
    const text = 'x'.repeat(random.below(90));
    const pipeline = redis.multi().set(`k${at}`, text).rpush('list', at, random.bytes(9));
    if (at % 3 === 0) pipeline.select(at % 5).incr('n');
    await pipeline.exec();
    await redis.set(random.bytes(4), random.bytes(random.below(60)), 'EX', 1000);
    await redis.hset('hash', `f${at}`, text, 'multi', 'exec');
    await redis.zadd('zset', at, `m${at}`);
    if (at % 40 === 0) await redis.eval("redis.call('SET','a',1) redis.call('SET','b',2)", 0);
  }
  const folder = binary === null ? server.aofDir : server.dir;
  const name = (await readdir(folder)).find((file) => /incr\.aof$|^appendonly\.aof$/.test(file));
  return await readFile(join(folder, name ?? ''));
}

/** Where elements of a log stand that a file may begin or end at: before a MULTI outside of one. */
function cuts(log: Buffer): number[] {
  const starts: number[] = [];
  const start = Buffer.from('*1\r\n$5\r\nMULTI\r\n');
  for (let at = log.indexOf(start); at >= 0; at = log.indexOf(start, at + 1)) starts.push(at);
  return [...starts, log.length];
}

/**
 * Logs that a real server wrote, cut into files of whole transactions, some with an RDB before them.
 * @param old - A server before 7.0, whose single file has no manifest.
 */
export async function realLogs(
  count: number,
  rdbs: readonly Buffer[],
  old: ServerBinary | null,
): Promise<Buffer[]> {
  const random = new Seeded(6);
  const logs = [await logOf(null, 150)];
  if (old !== null) logs.push(await logOf(old.binary, 60));
  return Array.from({ length: count }, (_, at) => {
    const log = logs[at % logs.length] as Buffer;
    const places = cuts(log);
    const first = random.below(places.length - 1);
    const last = Math.min(first + 1 + random.below(12), places.length - 1);
    const part = log.subarray(places[first], places[last]);
    return at % 4 === 3 ? Buffer.concat([random.pick(rdbs), part]) : part;
  });
}
