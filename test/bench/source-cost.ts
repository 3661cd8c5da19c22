import { setTimeout as delay } from 'node:timers/promises';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import type { Outcome } from './outcome.ts';
import { CommandMaker } from './setup/commands.ts';
import { runLoad, type LoadResult } from './setup/load.ts';
import { median, OtherWork } from './setup/process-facts.ts';
import { sendAll } from './setup/raw-link.ts';
import { Tidemark } from './setup/tidemark.ts';

const KEYS = 2_000_000;
const CONNECTIONS = 16;
const BATCH = 16;
const ROUNDS = 5;
const ROUND_SECONDS = 6;
const MAXIMUM_SECONDS = 3;
/** What an archiver did while it attached settles. */
const SETTLE_MS = 1_500;

/** The names of what is measured here, in one run. */
export const SOURCE_NAMES = ['source-cost', 'source-latency'] as const;

/**
 * What a source pays for being captured: CPU seconds of the server for a million commands, and the
 * 99th percentile of the time that a pipelined batch takes, with the archiver over without it, at
 * half of the highest rate that the server reaches without it.
 */
export async function benchSourceCost(): Promise<readonly Outcome[]> {
  await using dir = await TempDir.create('tidemark-bench-');
  await using server = await startRedis({
    config: { appendfsync: 'everysec', 'auto-aof-rewrite-percentage': '0' },
  });
  const tidemark = await Tidemark.init(dir.path, 'bench', server);
  await sendAll(server.socketPath, new CommandMaker(Date.now()).base(KEYS));
  await (await tidemark.serve()).stop(); // what is there already is not what is measured
  const maximum = await load(server, 0, MAXIMUM_SECONDS, 1);
  const rate = maximum.commands / maximum.seconds / 2;
  const bare: LoadResult[] = [];
  const captured: LoadResult[] = [];
  const others = new OtherWork();
  let peakBytes = 0;
  const one = async (withArchiver: boolean, round: number): Promise<void> => {
    const archiver = withArchiver ? await tidemark.serve() : null;
    await delay(SETTLE_MS);
    if (archiver === null) await others.look();
    const result = await load(server, rate, ROUND_SECONDS, round + 2);
    (withArchiver ? captured : bare).push(result);
    peakBytes = Math.max(peakBytes, archiver?.peakBytes() ?? 0);
    await archiver?.stop();
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    await one(round % 2 === 1, round);
    await one(round % 2 === 0, round);
  }
  const ratios = (of: (result: LoadResult) => number): number[] =>
    captured.map((result, round) => of(result) / of(bare[round]!));
  const cost = ratios(({ cpuSeconds, commands }) => cpuSeconds / commands);
  const p99 = ratios(({ p99Ms }) => p99Ms);
  const commands = captured.reduce((sum, result) => sum + result.commands, 0);
  const setting =
    `${KEYS} keys, ${commands} commands on each side, ${CONNECTIONS} connections with ` +
    `pipelines of ${BATCH}, half of the maximum rate, appendfsync everysec; ${others.text}`;
  return [
    {
      name: 'source-cost',
      value: median(cost),
      unit: 'ratio',
      bar: { atMost: 1.1 },
      of: 'CPU seconds of the server for a million commands without the archiver',
      detail:
        `${setting}; rounds ${listOf(cost)}; peak memory of the archiver ` +
        `${(peakBytes / 1e6).toFixed(0)} MB`,
    },
    {
      name: 'source-latency',
      value: median(p99),
      unit: 'ratio',
      bar: { atMost: 1.3 },
      of: '99th percentile of the latency without the archiver',
      detail: `rounds ${listOf(p99)}; median latency ${median(ratios(({ p50Ms }) => p50Ms)).toFixed(2)}`,
    },
  ];
}

function load(
  server: RedisServer,
  rate: number,
  seconds: number,
  seed: number,
): Promise<LoadResult> {
  const { port, pid } = server;
  const shape = { connections: CONNECTIONS, batch: BATCH, keys: KEYS };
  return runLoad({ port, serverPid: pid, ...shape, rate, seconds, seed });
}

function listOf(values: readonly number[]): string {
  return values.map((value) => value.toFixed(2)).join(', ');
}
