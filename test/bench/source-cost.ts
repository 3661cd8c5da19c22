import type { Outcome } from './outcome.ts';
import type { LoadResult } from './setup/load.ts';
import { median, OtherWork } from './setup/process-facts.ts';
import { BenchSource, SOURCE_KEYS } from './setup/source.ts';

const SHAPE = { connections: 16, batch: 16 };
const ROUNDS = 5;
const ROUND_SECONDS = 6;

/**
 * What a source pays for being captured: CPU seconds of the server for a million commands with the
 * archiver over without it, at half of the highest rate that the server reaches without it, in
 * pipelines so that the rate is high.
 */
export async function benchSourceCost(): Promise<readonly Outcome[]> {
  await using source = await BenchSource.open(SHAPE);
  const bare: LoadResult[] = [];
  const captured: LoadResult[] = [];
  const others = new OtherWork();
  let peakBytes = 0;
  const one = async (withArchiver: boolean, round: number): Promise<void> => {
    const archiver = withArchiver ? await source.tidemark.serve() : null;
    if (archiver === null) await others.look();
    (withArchiver ? captured : bare).push(await source.load(ROUND_SECONDS, round + 2));
    peakBytes = Math.max(peakBytes, archiver?.peakBytes() ?? 0);
    await archiver?.stop();
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    await one(round % 2 === 1, round);
    await one(round % 2 === 0, round);
  }
  const each = ({ cpuSeconds, commands }: LoadResult): number => cpuSeconds / commands;
  const ratios = captured.map((result, round) => each(result) / each(bare[round]!));
  const commands = captured.reduce((sum, result) => sum + result.commands, 0);
  return [
    {
      name: 'source-cost',
      value: median(ratios),
      unit: 'ratio',
      bar: { atMost: 1.1 },
      of: 'CPU seconds of the server for a million commands without the archiver',
      detail:
        `${SOURCE_KEYS} keys, ${commands} commands on each side, ${SHAPE.connections} connections ` +
        `with pipelines of ${SHAPE.batch}, half of the maximum rate, appendfsync everysec; ` +
        `${others.text}; rounds ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}; ` +
        `peak memory of the archiver ${(peakBytes / 1e6).toFixed(0)} MB`,
    },
  ];
}
