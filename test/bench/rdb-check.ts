import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startRedis } from '../support/redis-server.ts';
import type { Outcome } from './outcome.ts';

const run = promisify(execFile);
const CLI = fileURLToPath(new URL('../../../services/cli/bin/tidemark.js', import.meta.url));
const ROUNDS = 5;
/** Strings of 60 bytes, and as many small hashes, lists, sets and sorted sets as a fifth of them. */
const STRINGS = 3_000_000;
const COLLECTIONS = 150_000;

const FILL = `
for i = 1, tonumber(ARGV[1]) do
  redis.call('HSET', 'h' .. i, 'name', 'user ' .. i, 'mail', i .. '@example.org', 'visits', i)
  redis.call('RPUSH', 'l' .. i, 'first ' .. i, 'second', 'third')
  redis.call('SADD', 's' .. i, i, i + 1, i * 7)
  redis.call('ZADD', 'z' .. i, i / 3, 'member ' .. i, 1, 'other')
end
for i = 1, 500000 do redis.call('HSET', 'large', 'field ' .. i, 'value ' .. i) end`;

export const RDB_CHECK_NAMES = ['rdb-check', 'rdb-keys'];

async function seconds(program: string, args: readonly string[]): Promise<number> {
  const start = performance.now();
  // Shell, so that a listing goes to /dev/null and not through this process.
  await run('sh', ['-c', '"$@" > /dev/null', 'sh', program, ...args]);
  return (performance.now() - start) / 1000;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] as number;

/**
 * The commands `tidemark rdb check` and `rdb keys` beside `redis-check-rdb` on one file that a server
 * wrote, in the page cache: whole processes, start included, interleaved.
 */
export async function benchRdbCheck(): Promise<readonly Outcome[]> {
  await using server = await startRedis({ aof: false });
  const redis = await server.connect();
  await redis.call('DEBUG', 'POPULATE', STRINGS, 'key', 60);
  await redis.eval(FILL, 0, COLLECTIONS);
  await redis.save();
  const path = join(server.dir, 'dump.rdb');
  const { size } = await stat(path);
  const times = { peer: [] as number[], check: [] as number[], keys: [] as number[] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    const peer = await seconds('redis-check-rdb', [path]);
    const check = await seconds(process.execPath, [CLI, 'rdb', 'check', path]);
    const keys = await seconds(process.execPath, [CLI, 'rdb', 'keys', path]);
    if (round === 0) continue; // into the page cache
    times.peer.push(peer);
    times.check.push(check);
    times.keys.push(keys);
  }
  const peer = median(times.peer);
  const figure = (name: string, ours: number): Outcome => ({
    ...{
      name,
      value: peer / ours,
      unit: 'ratio',
      bar: { atLeast: name === 'rdb-check' ? 0.6 : 0.4 },
    },
    of: 'redis-check-rdb on the same file, its time over ours',
    detail:
      `${(size / 1e6).toFixed(0)} MB, ${STRINGS + 4 * COLLECTIONS + 1} keys: ${ours.toFixed(2)} s, ` +
      `redis-check-rdb ${peer.toFixed(2)} s`,
  });
  return [figure('rdb-check', median(times.check)), figure('rdb-keys', median(times.keys))];
}
