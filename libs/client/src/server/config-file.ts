import { UsageError } from '@tidemark/core';

/** Directives whose value is several words; each word is quoted by itself. */
const WORD_LISTS = new Set([
  'bind',
  'client-output-buffer-limit',
  'loadmodule',
  'oom-score-adj-values',
  'rename-command',
  'save',
  'user',
]);

function quoteWord(word: string): string {
  let quoted = '"';
  for (const byte of Buffer.from(word)) {
    if (byte === 0x22 || byte === 0x5c) quoted += `\\${String.fromCharCode(byte)}`;
    else if (byte < 0x20 || byte > 0x7e) quoted += `\\x${byte.toString(16).padStart(2, '0')}`;
    else quoted += String.fromCharCode(byte);
  }
  return `${quoted}"`;
}

/**
 * Writes settings in the language of `redis.conf`; every word is quoted, so that no value can become
 * a directive of its own.
 *
 * @param settings - Name to value as `CONFIG SET` takes it. A list of values repeats the directive.
 * @throws UsageError `TM_USAGE` for a name that is not `[a-z][a-z0-9-]*`.
 * @see redis src/sds.c, sdssplitargs (quoting rules)
 */
export function encodeConfigFile(
  settings: Readonly<Record<string, string | readonly string[]>>,
): string {
  let text = '';
  for (const [name, given] of Object.entries(settings)) {
    if (!/^[a-z][a-z0-9-]*$/.test(name)) {
      throw new UsageError('TM_USAGE', 'a server setting has a name that is not allowed', {
        context: { name },
      });
    }
    for (const value of typeof given === 'string' ? [given] : given) {
      const words = WORD_LISTS.has(name)
        ? value.split(/\s+/).filter((word) => word !== '')
        : [value];
      text += `${[name, ...(words.length === 0 ? [''] : words).map(quoteWord)].join(' ')}\n`;
    }
  }
  return text;
}
