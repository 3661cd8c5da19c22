import { TempDir } from '../temp-dir.ts';
import { DamageBench } from './damage-bench.ts';
import { FlipSweep } from './flip-sweep.ts';

// flip-child.ts <lane> <lanes> <seed>: one lane of a sweep, its result as JSON on standard output.
const [lane = 0, lanes = 1, seed = 0] = process.argv.slice(2).map(Number);
Error.stackTraceLimit = 0; // tens of thousands of errors are made and looked at by their code
await using dir = await TempDir.create('tidemark-flips-');
const bench = await DamageBench.build(seed.toString(), dir.path);
const result = await new FlipSweep(bench, { lane, lanes, seed }).run();
process.stdout.write(JSON.stringify(result));
