import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './outcome.ts';
import { ApiProcess } from './setup/api-process.ts';
import { writeLongArchive } from './setup/long-archive.ts';
import { Floor } from './setup/memory-floor.ts';
import { median } from './setup/process-facts.ts';

const LONG = { segments: 100_000, backups: 1_000 };
const EMPTY = { segments: 0, backups: 0 };
const ROUNDS = 7;
const ROUND_SECONDS = 6;
/** Requests a second, sent on time whether or not earlier ones were answered. */
const RATE = 40;
/** A caller may ask 1,200 times a minute (docs/api.md). */
const CALLERS = 8;

const QUERIES = ['windows', 'backups'] as const;

/** The names of what is measured here, in one run. */
export const QUERY_NAMES = ['control-windows', 'control-backups', 'control-memory'] as const;

/**
 * What somebody waits for an answer of the API: `windows` and the first page of `backups` of an
 * instance with 100,000 segments and 1,000 backups, over the same of an empty one in another
 * workspace; the 99th percentile at a fixed rate. Beside it the memory of the server: the least that
 * it held in a round, at the end of the run over after the first.
 */
export async function benchControlQueries(): Promise<readonly Outcome[]> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  try {
    await using long = await ApiProcess.start(join(dir, 'long'), CALLERS, (folders) =>
      writeLongArchive('long', LONG, folders),
    );
    await using empty = await ApiProcess.start(join(dir, 'empty'), CALLERS, (folders) =>
      writeLongArchive('empty', EMPTY, folders),
    );
    const sides = [
      { api: long, id: 'long' },
      { api: empty, id: 'empty' },
    ] as const;
    // The first request reads the whole log into the catalog.
    for (const { api, id } of sides) await api.ask(`/v1/instances/${id}/windows`);
    const waits = { windows: { long: [], empty: [] }, backups: { long: [], empty: [] } } as Record<
      (typeof QUERIES)[number],
      Record<'long' | 'empty', number[]>
    >;
    const memory: number[] = [];
    using floor = new Floor(() => long.residentBytes());
    for (let round = 0; round < ROUNDS; round++) {
      for (const query of QUERIES) {
        for (const { api, id } of round % 2 === 0 ? sides : [...sides].reverse()) {
          const path = `/v1/instances/${id}/${query}`;
          waits[query][id].push(await p99At(api, path));
        }
      }
      memory.push(floor.take());
    }
    const of = `${LONG.segments} segments and ${LONG.backups} backups over none`;
    const asked = `p99 at ${RATE} requests a second for ${ROUND_SECONDS} s, ${ROUNDS} rounds interleaved`;
    return [
      ...QUERIES.map((query): Outcome => {
        const [ours, none] = [median(waits[query].long), median(waits[query].empty)];
        return {
          ...{ name: `control-${query}`, value: ours / none, unit: 'ratio' },
          ...{
            bar: { atMost: 3 },
            of,
            detail: `${asked}; ${ours.toFixed(1)} over ${none.toFixed(1)} ms`,
          },
        };
      }),
      {
        ...{ name: 'control-memory', value: growth(memory), unit: 'ratio' },
        bar: { atMost: 1.2 },
        of: 'least resident memory of the server in the last two rounds over the first two',
        detail: memory.map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`).join(', '),
      },
    ];
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function growth(floors: readonly number[]): number {
  return Math.min(...floors.slice(-2)) / Math.min(...floors.slice(0, 2));
}

/** The 99th percentile, in milliseconds from the instant a request was due. */
async function p99At(api: ApiProcess, path: string): Promise<number> {
  const waits: number[] = [];
  const asked: Promise<void>[] = [];
  const startMs = performance.now();
  for (let sent = 0; sent < RATE * ROUND_SECONDS; sent++) {
    const dueMs = startMs + (sent * 1000) / RATE;
    const pauseMs = dueMs - performance.now();
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    asked.push(api.ask(path, sent).then(() => void waits.push(performance.now() - dueMs)));
  }
  await Promise.all(asked);
  waits.sort((a, b) => a - b);
  return waits[Math.ceil(waits.length * 0.99) - 1] ?? NaN;
}
