import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import type { FuzzOrder, FuzzReport } from '../support/hostile/fuzz-worker.ts';

const WORKERS = 2;
const INPUTS = 10_000;
const HEAP_MB = 128;
/** An input that takes longer hangs. */
const INPUT_MS_MAX = 5_000;
/** Buffers lie outside the heap: 10,000 inputs of some KB each must not need more. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024;

/** Runs one worker to its end; fails when it does not move on, or dies. */
async function fuzz(seed: number, inputs: number): Promise<FuzzReport> {
  const progress = new SharedArrayBuffer(4);
  const worker = new Worker(new URL('../support/hostile/fuzz-worker.ts', import.meta.url), {
    execArgv: [
      '--conditions=source',
      '--import',
      new URL('../support/ts-hooks.js', import.meta.url).href,
    ],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 16 },
    workerData: { seed, inputs, progress } satisfies FuzzOrder,
  });
  const counter = new Int32Array(progress);
  let seen = 0;
  let since = performance.now();
  const watch = setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now !== seen || now === 0) [seen, since] = [now, performance.now()];
    if (performance.now() - since > INPUT_MS_MAX) {
      worker.emit('error', new Error(`input ${seen} of seed ${seed} hangs`));
    }
  }, 200);
  try {
    const [report] = (await once(worker, 'message')) as [FuzzReport];
    return report;
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

describe('10,000 damaged inputs of every format', () => {
  it('are read or refused by a typed error, in a heap of 128 MB, none hangs', async () => {
    // TIDEMARK_SEED=n looks at others; the seed of a failure stands in its message.
    const seed = Number(process.env['TIDEMARK_SEED'] ?? '20261121');
    const reports = await Promise.all(
      Array.from({ length: WORKERS }, (_, at) => fuzz(seed + at, INPUTS / WORKERS)),
    );
    for (const { crashes, bufferBytesPeak, targets } of reports) {
      expect(crashes, `seed ${seed}`).toEqual([]);
      expect(bufferBytesPeak).toBeLessThan(BUFFER_BYTES_MAX);
      expect(Object.keys(targets).length).toBeGreaterThanOrEqual(12);
      for (const [name, { refused }] of Object.entries(targets)) {
        expect(refused, name).toBeGreaterThan(20);
      }
    }
    expect(reports.reduce((sum, { inputs }) => sum + inputs, 0)).toBe(INPUTS);
  });
});
