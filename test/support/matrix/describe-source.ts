import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '@tidemark/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../aof-run.ts';
import { startRedis } from '../redis-server.ts';
import { serversRequired, type ServerBinary } from '../servers.ts';
import { chooseSeed } from '../workload.ts';
import { countFacts } from './comparable.ts';
import { EQUAL, expectedOutcome } from './expected.ts';
import {
  capabilitiesOf,
  DATASETS,
  MATRIX_SERVERS,
  matrixBinary,
  whyNoBinary,
  type Dataset,
  type MatrixServer,
} from './matrix-server.ts';
import { MatrixSource, type MatrixTarget } from './matrix-source.ts';

/** Rows of the table, one file for each source; scripts/matrix-table.mjs prints them. */
const ROWS = fileURLToPath(new URL('../../../build/matrix', import.meta.url));
const DATABASES_MIN = 16;
const TYPES = 6;
/** Differences of a second that are shown. */
const SHOWN_MAX = 6;

/** What became of the recorded seconds of a source in a target. */
interface Cell {
  readonly target: MatrixServer;
  readonly dataset: Dataset;
  /** Version of the target; null when it cannot be had. */
  readonly version: string | null;
  readonly equalSeconds: number;
  /** Codes and messages of what was refused, each once. */
  readonly refusals: readonly string[];
}

/** The tests of one row of the matrix: a server as source, every server as target. */
export function describeSource(source: MatrixServer): void {
  const binary = matrixBinary(source);
  if (binary === null) {
    const reason = whyNoBinary(source);
    it.skipIf(!serversRequired())(`${source} as source: ${reason}`, () => {
      throw new Error(reason);
    });
    return;
  }
  describe(`${source} (${binary.version}) as source`, () => {
    const captured = new Map<Dataset, MatrixSource>();
    const cells: Cell[] = [];

    beforeAll(async () => {
      buildAof();
      await Promise.all(
        DATASETS.map(async (dataset) => {
          const seed = chooseSeed(`${source} ${dataset}`);
          captured.set(dataset, await MatrixSource.record(binary, dataset, seed));
        }),
      );
    });

    afterAll(async () => {
      for (const part of captured.values()) await part[Symbol.asyncDispose]();
      await mkdir(ROWS, { recursive: true });
      const row = { source, version: binary.version, cells };
      await writeFile(join(ROWS, `${source.replace(' ', '-')}.json`), JSON.stringify(row));
    });

    it.each(DATASETS)('recorded five seconds of every type: %s', (dataset) => {
      const recorded = captured.get(dataset)?.recorded ?? [];
      expect(recorded).toHaveLength(5);
      for (const { oracle } of recorded) {
        const { keys, types, databases } = countFacts(oracle);
        expect([types, databases]).toEqual([TYPES, DATABASES_MIN]);
        expect(keys).toBeGreaterThan(300);
      }
    });

    for (const target of MATRIX_SERVERS) {
      const into = matrixBinary(target);
      if (into === null) {
        const reason = whyNoBinary(target);
        it.skipIf(!serversRequired())(`${target} as target: ${reason}`, () => {
          throw new Error(reason);
        });
        continue;
      }
      it.each(DATASETS)(
        `restores into ${target} (${into.version}) as expected: %s`,
        async (dataset) => {
          const from = captured.get(dataset);
          if (from === undefined) throw new Error('it was not captured');
          const { outcomes, refusals } = await restoreAll(from, into);
          const equalSeconds = outcomes.filter((outcome) => outcome === EQUAL).length;
          cells.push({ target, dataset, version: into.version, equalSeconds, refusals });
          const wanted = expectedOutcome(source, target, dataset);
          expect(outcomes, refusals.join('\n')).toEqual(from.recorded.map(() => wanted));
        },
      );
    }
  });
}

interface Restored {
  readonly outcomes: string[];
  readonly refusals: string[];
}

async function restoreAll(from: MatrixSource, into: ServerBinary): Promise<Restored> {
  const config = { databases: DATABASES_MIN.toString(), 'aof-timestamp-enabled': 'no' };
  await using server = await startRedis({ binary: into.binary, aof: false, config });
  const target = { server, client: await server.connect(), can: capabilitiesOf(into) };
  const outcomes: string[] = [];
  const refusals = new Set<string>();
  for (const wanted of from.recorded) {
    const { outcome, refusal } = await restoreOne(from, wanted, target);
    outcomes.push(outcome);
    if (refusal !== null) refusals.add(refusal);
  }
  return { outcomes, refusals: [...refusals] };
}

async function restoreOne(
  from: MatrixSource,
  wanted: MatrixSource['recorded'][number],
  target: MatrixTarget,
): Promise<{ outcome: string; refusal: string | null }> {
  try {
    const differences = await from.diffRestored(wanted, target);
    return {
      outcome: differences.length === 0 ? EQUAL : differences.slice(0, SHOWN_MAX).join('\n'),
      refusal: null,
    };
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { outcome: error.code, refusal: `${error.code}: ${error.message}` };
  }
}
