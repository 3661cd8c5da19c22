import type { Outcome } from './outcome.ts';
import { Burner } from './setup/burner.ts';
import { hasPrecedence, type LoadResult } from './setup/load.ts';
import { cpuSecondsOf, median, OtherWork } from './setup/process-facts.ts';
import { BenchSource, SOURCE_KEYS } from './setup/source.ts';

/** As redis-benchmark does unless told otherwise: 50 clients, one command at a time. */
const SHAPE = { connections: 50, batch: 1, precedence: true };
const ROUNDS = 5;
const ROUND_SECONDS = 8;
const SHARE_MAX = 0.95;

/** The names of what is measured here, in one run. */
export const LATENCY_NAMES = ['source-latency', 'latency-control'] as const;

/**
 * What a client of a captured source waits: the 99th percentile of the time from a command to its
 * reply with the archiver over without it, at half of the highest rate.
 *
 * Beside it stands a control: the same figure with a process that burns as much CPU as the archiver
 * used and does nothing. Where that is above 1 the machine has no core to spare, and the figure
 * tells of its scheduler.
 */
export async function benchSourceLatency(): Promise<readonly Outcome[]> {
  await using source = await BenchSource.open(SHAPE);
  const others = new OtherWork();
  const bare: LoadResult[] = [];
  const captured: LoadResult[] = [];
  const burnt: LoadResult[] = [];
  const shares: number[] = [];
  const sides = [
    async (seed: number): Promise<void> => {
      await others.look();
      bare.push(await source.load(ROUND_SECONDS, seed));
    },
    async (seed: number): Promise<void> => {
      const archiver = await source.tidemark.serve();
      const before = cpuSecondsOf(archiver.pid);
      const result = await source.load(ROUND_SECONDS, seed);
      shares.push(Math.min(SHARE_MAX, (cpuSecondsOf(archiver.pid) - before) / result.seconds));
      captured.push(result);
      await archiver.stop();
    },
    async (seed: number): Promise<void> => {
      const burner = new Burner(median(shares));
      burnt.push(await source.load(ROUND_SECONDS, seed));
      await burner.stop();
    },
  ];
  for (let round = 0; round < ROUNDS; round += 1) {
    // The share to be burnt must be known: the control comes after the archiver.
    const order = round % 2 === 0 ? [0, 1, 2] : [1, 2, 0];
    for (const at of order) await sides[at]?.(round + 2);
  }
  const ratios = (side: readonly LoadResult[], of: (one: LoadResult) => number): number[] =>
    side.map((result, round) => of(result) / of(bare[round]!));
  const p99 = ({ p99Ms }: LoadResult): number => p99Ms;
  const p50 = ({ p50Ms }: LoadResult): number => p50Ms;
  const [ours, control] = [ratios(captured, p99), ratios(burnt, p99)];
  const generator = hasPrecedence() ? 'before everything else' : 'without precedence (not root)';
  return [
    {
      name: 'source-latency',
      value: median(ours),
      unit: 'ratio',
      bar: { atMost: 1.3 },
      of: '99th percentile of the latency without the archiver',
      detail:
        `${SOURCE_KEYS} keys, ${SHAPE.connections} connections, one command at a time, half of ` +
        `the maximum rate, the generator runs ${generator}; ${others.text}; rounds ` +
        `${listOf(ours)}; median latency ${median(ratios(captured, p50)).toFixed(2)}`,
    },
    {
      name: 'latency-control',
      value: median(control),
      unit: 'ratio',
      bar: null,
      of: 'the same with a process that burns as much CPU as the archiver and does nothing',
      detail: `${(median(shares) * 100).toFixed(0)} % of a core burnt; rounds ${listOf(control)}`,
    },
  ];
}

function listOf(values: readonly number[]): string {
  return values.map((value) => value.toFixed(2)).join(', ');
}
