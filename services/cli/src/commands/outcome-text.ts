import type { OutcomeCounts, SampleKey, SampleState } from '@tidemark/restorer';
import { formatBytes, table } from '../output/table.ts';

/** Characters of a key in a table. */
const KEY_WIDTH_MAX = 60;

/**
 * One line that says how many keys had each outcome.
 * @param expiryOnly - Changed keys of which the value is the same.
 */
export function countsText(counts: OutcomeCounts, expiryOnly = 0): string {
  const { same, changed, missing, created, expired } = counts;
  const all = same + changed + missing + created + expired;
  if (all === 0) return 'no key is selected at either end';
  const alone = expiryOnly === 0 ? '' : ` (${expiryOnly.toString()} in the expiry alone)`;
  return (
    `${all.toString()} selected: ${changed.toString()} changed${alone}, ${missing.toString()} missing now, ` +
    `${created.toString()} created since, ${expired.toString()} expired since, ${same.toString()} same`
  );
}

/** Some keys of each outcome as a table, with what of them is not shown. */
export function sampleText(sample: readonly SampleKey[], counts: OutcomeCounts): string[] {
  if (sample.length === 0) return [];
  const rows = sample.map(({ outcome, db, key, then, now }) => [
    outcome,
    db.toString(),
    key.length > KEY_WIDTH_MAX ? `${key.slice(0, KEY_WIDTH_MAX - 1)}…` : key,
    stateText(then),
    stateText(now),
  ]);
  const more = counts.changed + counts.missing + counts.created + counts.expired - sample.length;
  return [
    ...table(['OUTCOME', 'DB', 'KEY', 'THEN', 'NOW'], rows),
    ...(more > 0 ? [`… and ${more.toString()} more`] : []),
  ];
}

/** Each key with its values on lines of their own. */
export function valuesText(sample: readonly SampleKey[]): string[] {
  return sample.flatMap(({ outcome, db, key, then, now }) => [
    `${outcome} db ${db.toString()} ${key}`,
    ...(then === null ? [] : [`  - ${then.value ?? stateText(then)}`]),
    ...(now === null ? [] : [`  + ${now.value ?? stateText(now)}`]),
  ]);
}

function stateText(state: SampleState | null): string {
  if (state === null) return 'not there';
  const { type, bytes, expiresAt } = state;
  if (type === null) return `expired, ${formatBytes(bytes)}`;
  const life = expiresAt === null ? 'no expiry' : `expires ${expiresAt}`;
  return `${type}, ${formatBytes(bytes)}, ${life}`;
}
