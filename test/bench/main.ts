import { mkdir, writeFile } from 'node:fs/promises';
import { benchAofDecode } from './aof-decode.ts';
import { benchControlQueries, QUERY_NAMES } from './control-queries.ts';
import { jsonOf, tableOf, type Bar, type Bench, type Outcome } from './outcome.ts';
import { benchPsyncCost, PSYNC_NAMES } from './psync-cost.ts';
import { benchRdbCheck, RDB_CHECK_NAMES } from './rdb-check.ts';
import { benchRdbScan } from './rdb-scan.ts';
import { benchRestore, RESTORE_NAMES } from './restore-full.ts';
import { benchRestoreKeys, KEYS_NAMES } from './restore-keys.ts';
import { benchSeal, SEAL_NAMES } from './seal.ts';
import { benchSegment } from './segment.ts';
import { benchSnapshotShip, SNAPSHOT_NAMES } from './snapshot-ship.ts';
import { benchSourceCost } from './source-cost.ts';
import { benchSourceLatency, LATENCY_NAMES } from './source-latency.ts';
import { benchTlsCost, TLS_NAMES } from './tls-cost.ts';
import { benchWriteBack, WRITE_BACK_NAMES } from './write-back.ts';

const REPORT = 'build/bench.json';

interface Simple {
  readonly ratio: number;
  readonly of: string;
  readonly detail: string;
}

function simple(name: string, bar: Bar | null, measure: () => Promise<Simple>): Bench {
  return {
    names: [name],
    run: async () => {
      const { ratio, of, detail } = await measure();
      return [{ name, value: ratio, unit: 'ratio', bar, of, detail }];
    },
  };
}

const BENCHES: readonly Bench[] = [
  { names: RESTORE_NAMES, run: benchRestore },
  { names: KEYS_NAMES, run: benchRestoreKeys },
  { names: ['source-cost'], run: benchSourceCost },
  { names: LATENCY_NAMES, run: benchSourceLatency },
  { names: PSYNC_NAMES, run: benchPsyncCost },
  { names: TLS_NAMES, run: benchTlsCost },
  { names: QUERY_NAMES, run: benchControlQueries },
  { names: WRITE_BACK_NAMES, run: benchWriteBack },
  simple('aof-decode', { atLeast: 0.6 }, benchAofDecode),
  simple('rdb-scan', { atLeast: 0.5 }, benchRdbScan),
  { names: RDB_CHECK_NAMES, run: benchRdbCheck },
  { names: SNAPSHOT_NAMES, run: benchSnapshotShip },
  { names: SEAL_NAMES, run: benchSeal },
  simple('segment', null, benchSegment),
];

/** Runs all benches, or the one that is named; prints the table and writes the report. */
async function main(only: string | undefined): Promise<void> {
  const chosen = BENCHES.filter(({ names }) => only === undefined || names.includes(only));
  if (chosen.length === 0) {
    const names = BENCHES.flatMap((bench) => bench.names).join(', ');
    throw new Error(`there is no bench ${only ?? ''}; there are: ${names}`);
  }
  const outcomes: Outcome[] = [];
  for (const bench of chosen) {
    console.error(`running ${bench.names.join(', ')} …`);
    outcomes.push(...(await bench.run()));
    globalThis.gc?.();
  }
  console.log(tableOf(outcomes));
  await mkdir('build', { recursive: true });
  await writeFile(REPORT, `${JSON.stringify(jsonOf(outcomes), null, 2)}\n`);
}

await main(process.argv[2] ?? (process.env['ONLY'] || undefined));
