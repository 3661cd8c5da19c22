import { parentPort, workerData } from 'node:worker_threads';
import { damaged, withChecksum } from './damage.ts';
import { FUZZ_TARGETS, isTyped } from './fuzz-targets.ts';
import { Seeded } from './seeded.ts';

/** What the worker is told. */
export interface FuzzOrder {
  readonly seed: number;
  readonly inputs: number;
  /** [0] number of the input under work: who waits sees whether it moves. */
  readonly progress: SharedArrayBuffer;
}

/** What it found. */
export interface FuzzReport {
  readonly inputs: number;
  /** By target: inputs that were read to their end, and that were refused. */
  readonly targets: Readonly<Record<string, { accepted: number; refused: number }>>;
  /** Errors that are none of ours. */
  readonly crashes: readonly string[];
  /** Most bytes of buffers at once, over those at the start. */
  readonly bufferBytesPeak: number;
  readonly slowestMs: number;
}

const { seed, inputs, progress } = workerData as FuzzOrder;
Error.stackTraceLimit = 5;
const counter = new Int32Array(progress);
const random = new Seeded(seed);
const buffersAtStart = process.memoryUsage().arrayBuffers;
const targets: Record<string, { accepted: number; refused: number }> = {};
const crashes: string[] = [];
let [bufferBytesPeak, slowestMs] = [0, 0];
for (let at = 0; at < inputs; at += 1) {
  Atomics.store(counter, 0, at + 1);
  const target = FUZZ_TARGETS[at % FUZZ_TARGETS.length];
  if (target === undefined) break;
  const sample = damaged(random.pick(target.samples), random);
  const input = target.name.startsWith('rdb') && at % 2 === 0 ? withChecksum(sample) : sample;
  const counts = (targets[target.name] ??= { accepted: 0, refused: 0 });
  const start = performance.now();
  try {
    await target.run(input, random);
    counts.accepted += 1;
  } catch (error) {
    counts.refused += 1;
    if (!isTyped(error)) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      crashes.push(`${target.name}: ${what}\n${input.toString('hex').slice(0, 4000)}`);
    }
  }
  slowestMs = Math.max(slowestMs, performance.now() - start);
  const bufferBytes = process.memoryUsage().arrayBuffers - buffersAtStart;
  bufferBytesPeak = Math.max(bufferBytesPeak, bufferBytes);
}
const report: FuzzReport = {
  ...{ inputs, targets, bufferBytesPeak, slowestMs },
  crashes: crashes.slice(0, 10),
};
parentPort?.postMessage(report);
