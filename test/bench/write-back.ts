import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Outcome } from './outcome.ts';
import { Burner } from './setup/burner.ts';
import { untilStored } from './setup/captured-log.ts';
import { command } from './setup/commands.ts';
import { hasPrecedence, type LoadResult } from './setup/load.ts';
import { cpuSecondsOf, median, OtherWork } from './setup/process-facts.ts';
import { sendAll } from './setup/raw-link.ts';
import { BenchSource, SETTLE_MS, SOURCE_KEYS } from './setup/source.ts';

/** Keys that are written back. */
const WRITTEN = 100_000;
const SHAPE = { connections: 50, batch: 1, precedence: true, mix: 'get-set' } as const;
const ROUNDS = 3;
const ROUND_SECONDS = 6;
/** A process that burns nothing at all is no control. */
const SHARE_MIN = 0.01;
const SHARE_MAX = 0.95;
const LOOK_MS = 25;
const BLOCK = 4_096;

/** The names of what is measured here, in one run. */
export const WRITE_BACK_NAMES = ['write-back', 'write-back-control'] as const;

/**
 * What a client of the original waits while keys are written back into it: the 99th percentile of
 * GET and SET, one at a time on each connection, at half of the highest rate, over the same without.
 *
 * The load begins with the first key that is written and ends before the last; then the work is
 * interrupted. Beside it stands a
 * control, as in `source-latency`: a process that burns as much CPU and does nothing.
 */
export async function benchWriteBack(): Promise<readonly Outcome[]> {
  await using source = await BenchSource.open(SHAPE, values('then'));
  const client = await source.server.connect();
  const [second] = (await client.time()).map(Number) as [number, number];
  await (await source.tidemark.serve()).stop();
  await untilStored(source.tidemark, second - 1);
  const rounds: Round[] = [];
  const others = new OtherWork();
  for (let round = 0; round < ROUNDS; round += 1) {
    await others.look();
    const seed = round + 2;
    const bare = await source.load(ROUND_SECONDS, seed);
    const { load, share, written } = await writeBack(source, client, seed);
    const burner = new Burner(Math.min(SHARE_MAX, Math.max(SHARE_MIN, share)));
    const burnt = await source.load(ROUND_SECONDS, seed);
    await burner.stop();
    rounds.push({ bare, load, burnt, share, written });
  }
  return outcomesOf(rounds, others.text);
}

interface Round {
  readonly bare: LoadResult;
  readonly load: LoadResult;
  readonly burnt: LoadResult;
  readonly share: number;
  /** Keys that were written while the load ran. */
  readonly written: number;
}

function outcomesOf(rounds: readonly Round[], others: string): readonly Outcome[] {
  const ours = rounds.map(({ load, bare }) => load.p99Ms / bare.p99Ms);
  const control = rounds.map(({ burnt, bare }) => burnt.p99Ms / bare.p99Ms);
  const medians = rounds.map(({ load, bare }) => load.p50Ms / bare.p50Ms);
  const generator = hasPrecedence() ? 'before everything else' : 'without precedence (not root)';
  const speed = rounds.map(({ written, load }) => Math.round(written / load.seconds));
  return [
    {
      name: 'write-back',
      value: median(ours),
      unit: 'ratio',
      bar: { atMost: 2 },
      of: '99th percentile of the latency of GET and SET without the write-back',
      detail:
        `${WRITTEN} keys to be written among ${SOURCE_KEYS}, ${SHAPE.connections} connections, one command ` +
        `at a time, half of the maximum rate, the generator runs ${generator}; ${others}; rounds ` +
        `${listOf(ours)}; median latency ${median(medians).toFixed(2)}; ` +
        `${speed.join(', ')} keys a second were written meanwhile`,
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

/** Changes the keys and has them written back; the load runs once the first one was written. */
async function writeBack(
  source: BenchSource,
  client: Redis,
  seed: number,
): Promise<{ readonly load: LoadResult; readonly share: number; readonly written: number }> {
  await sendAll(source.server.socketPath, values('now'));
  await client.config('RESETSTAT');
  await delay(SETTLE_MS);
  const flags = ['--at', 'latest', '--glob', 'written:*', '--to', 'original', '--ttl', 'absolute'];
  const work = source.tidemark.begin('restore', 'bench', ...flags, '--yes');
  while (!work.hasEnded() && (await writtenSoFar(client)) === 0) await delay(LOOK_MS);
  const [before, cpuBefore] = [await writtenSoFar(client), cpuSecondsOf(work.pid)];
  const load = await source.loadNow(ROUND_SECONDS, seed);
  const share = (cpuSecondsOf(work.pid) - cpuBefore) / load.seconds;
  const written = (await writtenSoFar(client)) - before;
  // Had it ended by itself, the load would have run beside nothing.
  await work.interrupt();
  return { load, share, written };
}

/** Keys that were written: nobody else sends RESTORE here. */
async function writtenSoFar(client: Redis): Promise<number> {
  const [, calls] = /cmdstat_restore:calls=(\d+)/.exec(await client.info('commandstats')) ?? [];
  return Number(calls ?? 0);
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
