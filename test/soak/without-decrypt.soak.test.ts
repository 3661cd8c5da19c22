import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { describeWithKms } from '../support/kms-server.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const SUITES: readonly (readonly [string, readonly string[]])[] = [
  ['integration', ['integration/archiver.int', 'integration/node-life', 'integration/facts']],
  ['e2e', ['e2e/b-', 'e2e/c-', 'e2e/c2-', 'e2e/canaries']],
];

describeWithKms('every suite of captures passes where the archiver may open no data key', () => {
  it.each(SUITES)('%s', async (project, files) => {
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--project', project, ...files];
    const { stdout } = await run(process.execPath, vitest, {
      cwd: root,
      env: { ...process.env, TIDEMARK_TEST_KEYS: 'kms', NO_COLOR: '1' },
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    expect(stdout).toMatch(/Tests +\d+ passed/);
  });
});
