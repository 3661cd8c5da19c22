import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Outcome } from './outcome.ts';
import { Burner } from './setup/burner.ts';
import { untilStored } from './setup/captured-log.ts';
import { command } from './setup/commands.ts';
import { expectEqual } from './setup/expect.ts';
import { hasPrecedence, type LoadResult } from './setup/load.ts';
import { cpuSecondsOf, median, OtherWork } from './setup/process-facts.ts';
import { sendAll } from './setup/raw-link.ts';
import { BenchSource, SETTLE_MS, SOURCE_KEYS } from './setup/source.ts';
import type { Ran } from './setup/tidemark.ts';

/** Keys that are written back. */
const WRITTEN = 100_000;
const SHAPE = { connections: 50, batch: 1, precedence: true, mix: 'get-set' } as const;
const ROUNDS = 3;
const ROUND_SECONDS_MAX = 8;
const SHARE_MAX = 0.95;
const LOOK_MS = 25;
const BLOCK = 4_096;

/** The names of what is measured here, in one run. */
export const WRITE_BACK_NAMES = ['write-back', 'write-back-control'] as const;

interface Report {
  readonly restored: number;
  readonly elapsedSeconds: number;
  readonly phases: Readonly<Record<string, number>>;
}

/**
 * What a client of the original waits while keys are written back into it: the 99th percentile of
 * GET and SET, one at a time on each connection, at half of the highest rate, over the same without.
 *
 * The load begins with the first key that is written and ends before the last. Beside it stands a
 * control, as in `source-latency`: a process that burns as much CPU and does nothing.
 */
export async function benchWriteBack(): Promise<readonly Outcome[]> {
  await using source = await BenchSource.open(SHAPE, values('then'));
  const client = await source.server.connect();
  const [second] = (await client.time()).map(Number) as [number, number];
  await (await source.tidemark.serve()).stop();
  await untilStored(source.tidemark, second - 1);
  const first = await writeBack(source, client, () => Promise.resolve(undefined));
  const seconds = Math.min(ROUND_SECONDS_MAX, first.ran.document.phases['write'] ?? 0);
  const rounds: Round[] = [];
  const others = new OtherWork();
  for (let round = 0; round < ROUNDS; round += 1) {
    await others.look();
    const seed = round + 2;
    const bare = await source.load(seconds, seed);
    const { ran, load, share } = await writeBack(source, client, () =>
      source.loadNow(seconds, seed),
    );
    const burner = new Burner(Math.min(SHARE_MAX, share));
    const burnt = await source.load(seconds, seed);
    await burner.stop();
    if (load === undefined) throw new Error('no load ran');
    rounds.push({ bare, load, burnt, ran, share });
  }
  return outcomesOf(rounds, others.text);
}

interface Round {
  readonly bare: LoadResult;
  readonly load: LoadResult;
  readonly burnt: LoadResult;
  readonly ran: Ran<Report>;
  readonly share: number;
}

function outcomesOf(rounds: readonly Round[], others: string): readonly Outcome[] {
  const ours = rounds.map(({ load, bare }) => load.p99Ms / bare.p99Ms);
  const control = rounds.map(({ burnt, bare }) => burnt.p99Ms / bare.p99Ms);
  const medians = rounds.map(({ load, bare }) => load.p50Ms / bare.p50Ms);
  const generator = hasPrecedence() ? 'before everything else' : 'without precedence (not root)';
  const phases = rounds.map(({ ran }) => {
    const { elapsedSeconds, phases: spent } = ran.document;
    const shares = Object.entries(spent).map(
      ([name, took]) => `${name} ${(took / elapsedSeconds).toFixed(2)}`,
    );
    return shares.join(', ');
  });
  return [
    {
      name: 'write-back',
      value: median(ours),
      unit: 'ratio',
      bar: { atMost: 2 },
      of: '99th percentile of the latency of GET and SET without the write-back',
      detail:
        `${WRITTEN} keys written into ${SOURCE_KEYS}, ${SHAPE.connections} connections, one command ` +
        `at a time, half of the maximum rate, the generator runs ${generator}; ${others}; rounds ` +
        `${listOf(ours)}; median latency ${median(medians).toFixed(2)}; shares of the work ` +
        phases.join('; '),
    },
    {
      name: 'write-back-control',
      value: median(control),
      unit: 'ratio',
      bar: null,
      of: 'the same with a process that burns as much CPU as the writing and does nothing',
      detail:
        `${(median(rounds.map(({ share }) => share)) * 100).toFixed(0)} % of a core burnt; ` +
        `rounds ${listOf(control)}`,
    },
  ];
}

/** Changes the keys and has them written back; `load` runs once the first one was written. */
async function writeBack(
  source: BenchSource,
  client: Redis,
  load: () => Promise<LoadResult | undefined>,
): Promise<{ ran: Ran<Report>; load: LoadResult | undefined; share: number }> {
  await sendAll(source.server.socketPath, values('now'));
  await client.config('RESETSTAT');
  await delay(SETTLE_MS);
  const work = { pid: 0, over: false };
  const flags = ['--at', 'latest', '--glob', 'written:*', '--to', 'original', '--ttl', 'absolute'];
  const running = source.tidemark
    .runSeen<Report>((pid) => (work.pid = pid), 'restore', 'bench', ...flags, '--yes')
    .finally(() => (work.over = true));
  while (!work.over && !(await hasWritten(client))) await delay(LOOK_MS);
  const cpuBefore = work.over ? 0 : cpuSecondsOf(work.pid);
  const startMs = performance.now();
  const result = await load();
  const tookSeconds = (performance.now() - startMs) / 1000;
  // Over before its load: the load ran beside nothing, and there is nothing to compare.
  if (result !== undefined && work.over)
    throw new Error('the write-back ended before the load did');
  const spent = work.over ? 0 : cpuSecondsOf(work.pid) - cpuBefore;
  const share = spent / tookSeconds;
  const ran = await running;
  expectEqual('keys written back', ran.document.restored, WRITTEN);
  return { ran, load: result, share: Math.max(0.01, share) };
}

/** Whether a key was written: nobody else sends RESTORE or EXEC here. */
async function hasWritten(client: Redis): Promise<boolean> {
  return /cmdstat_(restore|exec):calls=[1-9]/.test(await client.info('commandstats'));
}

function* values(prefix: string): Generator<Buffer> {
  for (let from = 0; from < WRITTEN; from += BLOCK) {
    let text = '';
    for (let index = from; index < Math.min(WRITTEN, from + BLOCK); index += 1) {
      const id = String(index).padStart(6, '0');
      text += command('SET', `written:${id}`, `${prefix}:${id.repeat(12)}`);
    }
    yield Buffer.from(text, 'latin1');
  }
}

function listOf(numbers: readonly number[]): string {
  return numbers.map((value) => value.toFixed(2)).join(', ');
}
