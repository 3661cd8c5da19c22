// Makes one program of the command line's compiled modules, in services/cli/dist/bundle: a command
// that loads some files starts in a third of the time of one that loads hundreds. Packages with
// native or worker files of their own, and those few commands need, stay outside.
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = `${root}services/cli/dist/bundle`;

/** Entries beside the command itself are found by their names beside whoever starts them. */
const input = {
  main: `${root}services/cli/dist/main.js`,
  'feeder-main': `${root}services/restorer/dist/main.js`,
  'pin-worker': `${root}libs/aof/dist/tail/pin-worker.js`,
};

await rm(out, { recursive: true, force: true });
const bundle = await rolldown({
  input,
  platform: 'node',
  // What it takes is compiled already; the nearest tsconfig.json refers to folders an image leaves out.
  tsconfig: false,
  external: [/^(better-sqlite3|zstd-napi|pino)(\/|$)/, /^@aws-sdk\//, /^@smithy\//],
  resolve: { conditionNames: ['node', 'import', 'default'] },
});
await bundle.write({ dir: out, format: 'esm', sourcemap: false });
await bundle.close();
