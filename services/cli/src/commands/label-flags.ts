import { UsageError } from '@tidemark/core';
import type { LabelChange } from '@tidemark/control';

/**
 * Reads `key=value` and, where labels can be taken away, `key-`.
 * @throws UsageError `TM_USAGE` for a word that is neither, or a key that is there twice.
 */
export function readLabels(
  words: readonly string[],
  { takesAway }: { readonly takesAway: boolean },
): LabelChange {
  const change = new Map<string, string | null>();
  for (const word of words) {
    const at = word.indexOf('=');
    const removes = takesAway && at < 0 && word.length > 1 && word.endsWith('-');
    if (at < 1 && !removes) {
      throw new UsageError('TM_USAGE', 'a label is written as key=value', {
        hint: takesAway ? 'key- takes one away: team=data ticket-' : 'as in --label team=data',
      });
    }
    const key = removes ? word.slice(0, -1) : word.slice(0, at);
    if (change.has(key)) throw new UsageError('TM_USAGE', `label ${key} is there twice`);
    change.set(key, removes ? null : word.slice(at + 1));
  }
  return Object.fromEntries(change);
}

/** Labels as they are read: none is null. */
export function givenLabels(words: readonly string[]): Readonly<Record<string, string>> {
  const labels = readLabels(words, { takesAway: false });
  return Object.fromEntries(
    Object.entries(labels).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}

/** Labels on one line. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  const words = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return words.length === 0 ? '-' : words.join(' ');
}
