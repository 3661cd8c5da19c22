// Runs a vitest project; test files that failed run once more, alone, when they are few. Tests with
// real servers look at the clock of a machine that others load as well: what fails alone too is a
// fault, what does not is named in the summary, so that it is looked at. run-again.mjs PROJECT
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';

const FILES_MAX = 3;
const [project = ''] = process.argv.slice(2);
const report = `build/${project}.json`;

rmSync(report, { force: true });
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const first = vitest(...reporters);
const failed = first === 0 ? [] : failedFiles();
if (first === 0 || failed.length === 0 || failed.length > FILES_MAX) process.exit(first);
console.error(`\nonce more, alone: ${failed.join(' ')}\n`);
const second = vitest(...failed, '--no-file-parallelism');
if (second === 0) {
  appendFileSync('build/parts.txt', `  needed a second run: ${failed.join(' ')}\n`);
}
process.exit(second);

function vitest(...args) {
  const run = spawnSync('node_modules/.bin/vitest', ['run', '--project', project, ...args], {
    stdio: 'inherit',
  });
  return run.status ?? 1;
}

function failedFiles() {
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    return testResults
      .filter(({ status }) => status === 'failed')
      .map(({ name }) => relative(process.cwd(), name));
  } catch {
    return []; // It ended before it could report: nothing is known to be well.
  }
}
