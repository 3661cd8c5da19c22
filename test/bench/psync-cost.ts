import { setTimeout as delay } from 'node:timers/promises';
import type { Outcome } from './outcome.ts';
import type { LoadResult } from './setup/load.ts';
import { cpuSecondsOf, median, OtherWork } from './setup/process-facts.ts';
import { PSYNC_KEYS, PsyncBench, type LinkKind } from './setup/psync-source.ts';

const ROUNDS = 7;
const ROUND_SECONDS = 4;
/** What the source and its replica do after a snapshot settles. */
const SETTLE_MS = 1_500;

/** The names of what is measured here, in one run. */
export const PSYNC_NAMES = [
  ...['psync-cost', 'psync-cost-tls', 'psync-cpu', 'psync-cpu-tls', 'psync-memory'],
] as const;

/** What the rounds of one kind of link gave. */
interface Measured {
  readonly ours: LoadResult[];
  readonly replica: LoadResult[];
  /** CPU seconds of the archiver, and bytes that it captured meanwhile. */
  archiverSeconds: number;
  capturedBytes: number;
}

/**
 * What a source pays for a capture by replication: CPU seconds of the server for a million commands
 * with the archiver attached over those with an ordinary replica attached, each alone, plain and with
 * TLS on the link, at half of the highest rate that the server reaches. Beside it what the archiver
 * pays, and its memory, which is highest while a snapshot comes in under load.
 */
export async function benchPsyncCost(): Promise<readonly Outcome[]> {
  await using bench = await PsyncBench.open();
  const others = new OtherWork();
  const measured: Record<LinkKind, Measured> = { plain: none(), tls: none() };
  const peaks: number[] = [];
  for (const kind of ['plain', 'tls'] as const) peaks.push(await firstSync(bench, kind));
  const sides = (['plain', 'tls'] as const).flatMap((kind) => [
    (round: number) => withOurs(bench, kind, round, measured[kind], peaks),
    (round: number) => withReplica(bench, kind, round, measured[kind]),
  ]);
  for (let round = 0; round < ROUNDS; round += 1) {
    await others.look();
    for (const side of round % 2 === 0 ? sides : [...sides].reverse()) await side(round);
  }
  const shared =
    `${PSYNC_KEYS} keys, 16 connections with pipelines of 16, half of the maximum rate ` +
    `(${bench.rate.toFixed(0)} commands a second), no AOF; ${others.text}`;
  return [
    costOf('psync-cost', 1.0, measured.plain, shared),
    costOf('psync-cost-tls', 1.3, measured.tls, shared),
    cpuOf('psync-cpu', measured.plain, shared),
    cpuOf('psync-cpu-tls', measured.tls, shared),
    {
      ...{ name: 'psync-memory', value: Math.max(...peaks) / 1e6, unit: 'MB' },
      bar: { atMost: 200 },
      of: 'peak resident memory of the archiver, also while a snapshot comes in under load',
      detail: `${PSYNC_KEYS} keys; plain and with TLS, highest of all runs`,
    },
  ];
}

function none(): Measured {
  return { ours: [], replica: [], archiverSeconds: 0, capturedBytes: 0 };
}

/** The first attachment: a full resync while the source is written to. Gives the peak in bytes. */
async function firstSync(bench: PsyncBench, kind: LinkKind): Promise<number> {
  const loading = bench.load(ROUND_SECONDS, 99);
  const archiver = await bench.ours[kind].serve();
  await bench.untilReplicas(1);
  await loading;
  await delay(SETTLE_MS);
  const peak = archiver.peakBytes();
  await archiver.stop();
  await bench.untilReplicas(0);
  return peak;
}

async function withOurs(
  bench: PsyncBench,
  kind: LinkKind,
  round: number,
  measured: Measured,
  peaks: number[],
): Promise<void> {
  const archiver = await bench.ours[kind].serve();
  await bench.untilReplicas(1);
  await delay(SETTLE_MS);
  const before = { cpu: cpuSecondsOf(archiver.pid), offset: await bench.offset() };
  measured.ours.push(await bench.load(ROUND_SECONDS, round + 2));
  measured.archiverSeconds += cpuSecondsOf(archiver.pid) - before.cpu;
  measured.capturedBytes += (await bench.offset()) - before.offset;
  peaks.push(archiver.peakBytes());
  await archiver.stop();
  await bench.untilReplicas(0);
}

async function withReplica(
  bench: PsyncBench,
  kind: LinkKind,
  round: number,
  measured: Measured,
): Promise<void> {
  await using replica = await bench.replica(kind, `replica-${kind}-${round}`);
  await delay(SETTLE_MS);
  measured.replica.push(await bench.load(ROUND_SECONDS, round + 2));
  await replica.kill();
  await bench.untilReplicas(0);
}

function costOf(name: string, atMost: number, measured: Measured, shared: string): Outcome {
  const { ours, replica } = measured;
  const each = ({ cpuSeconds, commands }: LoadResult): number => cpuSeconds / (commands / 1e6);
  const ratios = ours.map((result, round) => each(result) / each(replica[round]!));
  const least = (side: readonly LoadResult[]): string => Math.min(...side.map(each)).toFixed(2);
  return {
    ...{ name, value: median(ratios), unit: 'ratio', bar: { atMost } },
    of: 'CPU seconds of the server for a million commands with an ordinary replica attached',
    detail:
      `at least ${least(ours)} s against ${least(replica)} s; ` +
      `rounds ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}; ${shared}`,
  };
}

function cpuOf(name: string, measured: Measured, shared: string): Outcome {
  const { archiverSeconds, capturedBytes } = measured;
  return {
    ...{ name, value: archiverSeconds / (capturedBytes / 1e9), unit: 's/GB', bar: null },
    of: 'CPU seconds of the archiver for a gigabyte of command stream: received, sealed, packed, put',
    detail: `${(capturedBytes / 1e6).toFixed(0)} MB in all rounds; ${shared}`,
  };
}
