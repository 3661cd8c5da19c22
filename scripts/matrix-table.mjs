// Prints what the version matrix found: a row for each source, a column for each target, from the
// rows that its tests left in build/matrix.
import { readFileSync, readdirSync } from 'node:fs';

const DIR = 'build/matrix';
const rows = readdirSync(DIR).map((name) => JSON.parse(readFileSync(`${DIR}/${name}`, 'utf8')));
const order = [
  'redis 6.0',
  'redis 7.0',
  'redis 8.0',
  'redis newest',
  'valkey 8.1',
  'valkey newest',
];
rows.sort((a, b) => order.indexOf(a.source) - order.indexOf(b.source));

const reasons = [];
const versions = new Map(rows.flatMap(({ cells }) => cells.map((c) => [c.target, c.version])));
const targets = order.filter((name) => versions.has(name));

function text(cells, target) {
  const parts = cells.filter((cell) => cell.target === target);
  return parts.map(({ equalSeconds, refusals }) => {
    if (refusals.length === 0) return `${equalSeconds} s`;
    const marks = refusals.map((reason) => {
      if (!reasons.includes(reason)) reasons.push(reason);
      return `[${reasons.indexOf(reason) + 1}]`;
    });
    return `${equalSeconds > 0 ? `${equalSeconds} s ` : ''}refused ${marks.join('')}`;
  });
}

const named = (name, version) => `${name.split(' ')[0]} ${version}`;
const table = [
  ['source \\ target', ...targets.map((name) => named(name, versions.get(name)))],
  ...rows.map(({ source, version, cells }) => [
    named(source, version),
    ...targets.map((target) => text(cells, target).join(', ') || '-'),
  ]),
];
const widths = table[0].map((_, at) => Math.max(...table.map((row) => row[at].length)));
const line = (row) =>
  row
    .map((cell, at) => cell.padEnd(widths[at]))
    .join('  ')
    .trimEnd();

console.log(
  'Seconds restored and found equal: what every server can hold, all that the source can hold',
);
console.log(table.map(line).join('\n'));
reasons.forEach((reason, at) => console.log(`[${at + 1}] ${reason}`));
