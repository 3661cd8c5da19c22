import { execFile } from 'node:child_process';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startRedis } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import type { Outcome } from './outcome.ts';
import { median } from './setup/process-facts.ts';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('./setup/snapshot-child.js', import.meta.url));
const ROUNDS = 5;
const KEYS = 2_000_000;
/** Both sides have this core and no other. */
const CORE = ['taskset', '-c', '0'] as const;

/** Values that pack to about a third, as documents do. */
const FILL = `
local words = {'open', 'paid', 'shipped', 'returned', 'lost', 'Berlin', 'Lima', 'Osaka', 'Accra', 'Oslo'}
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local a = words[i % 10 + 1] .. ' ' .. words[(i * 7) % 10 + 1]
  redis.call('SET', 'order:' .. i, '{"id":' .. i .. ',"state":"' .. a .. '","total":' .. (i * 7919) % 100003 .. ',"mail":"' .. redis.sha1hex(i):sub(1, 12) .. '@example.org"}')
end`;

export const SNAPSHOT_NAMES = ['snapshot-ship', 'snapshot-ship-cpu', 'snapshot-size'];

interface Round {
  readonly seconds: number;
  /** CPU time of user and system, all threads. */
  readonly cpuSeconds: number;
  readonly bytes: number;
}

/**
 * An RDB that a server wrote, checked, compressed, sealed, spooled and put into a store in a folder
 * of the same file system, beside `zstd -1` of the same file: one core each, the file in the page
 * cache, interleaved. Ours waits for the disk, zstd does not.
 */
export async function benchSnapshotShip(): Promise<readonly Outcome[]> {
  await using dir = await TempDir.create('tidemark-bench-');
  await using server = await startRedis({ aof: false });
  const redis = await server.connect();
  const step = 50_000;
  for (let from = 1; from <= KEYS; from += step) await redis.eval(FILL, 0, from, from + step - 1);
  await redis.save();
  const rdb = join(server.dir, 'dump.rdb');
  const { size } = await stat(rdb);
  await server.kill();
  const rounds: { readonly ours: Round; readonly zstd: Round }[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const pair = { zstd: await zstd(rdb, dir.path), ours: await ship(rdb, dir.path) };
    if (round > 0) rounds.push(pair); // the first one brings the file into the page cache
  }
  const ratios = rounds.map(({ ours, zstd: peer }) => ours.seconds / peer.seconds);
  const cpu = rounds.map(({ ours, zstd: peer }) => ours.cpuSeconds / peer.cpuSeconds);
  const [first] = rounds;
  if (first === undefined) throw new Error('nothing was measured');
  return [
    {
      name: 'snapshot-ship',
      value: median(ratios),
      unit: 'ratio',
      bar: { atMost: 1.3 },
      of: 'zstd -1 alone on the same file, one core each',
      detail:
        `${(size / 1e6).toFixed(0)} MB, ${KEYS} keys; rounds ${ratios.map((one) => one.toFixed(2)).join(' ')}; ` +
        `ours ${median(rounds.map(({ ours }) => ours.seconds)).toFixed(2)} s, ` +
        `zstd ${median(rounds.map(({ zstd: peer }) => peer.seconds)).toFixed(2)} s`,
    },
    {
      name: 'snapshot-ship-cpu',
      value: median(cpu),
      unit: 'ratio',
      bar: null,
      of: 'CPU seconds of the same zstd; other work on the machine disturbs them less',
      detail:
        `rounds ${cpu.map((one) => one.toFixed(2)).join(' ')}; ` +
        `ours ${median(rounds.map(({ ours }) => ours.cpuSeconds)).toFixed(2)} s, ` +
        `zstd ${median(rounds.map(({ zstd: peer }) => peer.cpuSeconds)).toFixed(2)} s`,
    },
    {
      name: 'snapshot-size',
      value: first.ours.bytes / first.zstd.bytes,
      unit: 'ratio',
      bar: null,
      of: 'bytes of zstd -1 of the whole file; ours is in frames of 1 MiB that open alone',
      detail: `${first.ours.bytes} bytes sealed, zstd ${first.zstd.bytes}`,
    },
  ];
}

/** bash tells wall, user and system time of what it ran. */
const TIMED = 'TIMEFORMAT="%3R %3U %3S"; time "$@"';

async function zstd(rdb: string, dir: string): Promise<Round> {
  const out = join(dir, 'peer.zst');
  const pack = ['zstd', '-1', '--single-thread', '-q', '-f', rdb, '-o', out];
  const env = { ...process.env, LC_ALL: 'C' };
  const { stderr } = await run('bash', ['-c', TIMED, 'bash', ...CORE, ...pack], { env });
  const [seconds = NaN, user = NaN, system = NaN] = stderr.trim().split(' ').map(Number);
  if (Number.isNaN(seconds + user + system)) throw new Error(`no times: ${stderr}`);
  const { size } = await stat(out);
  await rm(out);
  return { seconds, cpuSeconds: user + system, bytes: size };
}

/** The process's own start is left out: an archiver runs already. */
async function ship(rdb: string, dir: string): Promise<Round> {
  const args = ['node', CHILD, rdb, dir, '2'];
  const { stdout } = await run(CORE[0], [...CORE.slice(1), ...args]);
  const lines = stdout.trim().split('\n');
  return JSON.parse(lines.at(-1) ?? '') as Round;
}
