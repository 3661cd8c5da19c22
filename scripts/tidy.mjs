// House rules that no other tool checks: file length, words that mark unfinished work, names that
// must not stand in the project, error codes documented, ADR numbers, blobs over 1 MiB.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';

const LINES_MAX = 400;
const BLOB_MAX = 1024 * 1024;
const faults = [];
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((name) => name !== '' && name !== 'scripts/tidy.mjs');
const wordsOfUnfinishedWork = /\b(TODO|FIXME|XXX)\b/;
const skippedTests = /\b(?:it|test|describe)\.(?:skip|todo|only)\s*\(/;
const switchedOffRules = /@ts-(?:ignore|nocheck)|eslint-disable/;

for (const name of files) {
  let size;
  try {
    size = statSync(name).size;
  } catch {
    continue; // deleted in the work tree, not yet in the index
  }
  if (size > BLOB_MAX) faults.push(`${name}: ${size} bytes, at most ${BLOB_MAX}`);
  if (!/\.(ts|js|mjs|cjs|sh|md)$/.test(name)) continue;
  const text = readFileSync(name, 'utf8');
  const lines = text.split('\n');
  if (/\.ts$/.test(name) && lines.length > LINES_MAX + 1) {
    faults.push(`${name}: ${lines.length - 1} lines, at most ${LINES_MAX}; split it by concept`);
  }
  lines.forEach((line, index) => {
    const at = `${name}:${index + 1}`;
    if (wordsOfUnfinishedWork.test(line))
      faults.push(`${at}: unfinished work is an issue, not a comment`);
    if (/\.ts$/.test(name) && skippedTests.test(line))
      faults.push(`${at}: a test that does not run`);
    if (/\.ts$/.test(name) && switchedOffRules.test(line))
      faults.push(`${at}: a rule switched off`);
  });
}

const codes = readFileSync('libs/core/src/errors/codes.ts', 'utf8');
const documented = readFileSync('docs/errors.md', 'utf8');
for (const [, code] of codes.matchAll(/^ {2}(TM_[A-Z_0-9]+):/gm)) {
  if (!documented.includes(`\`${code}\``))
    faults.push(`docs/errors.md: ${code} is missing (node scripts/errors.mjs)`);
}
const numbers = readdirSync('docs/adr').map((name) => name.slice(0, 4));
if (new Set(numbers).size !== numbers.length) faults.push('docs/adr: a number is used twice');

if (faults.length > 0) {
  console.error(faults.join('\n'));
  process.exit(1);
}
