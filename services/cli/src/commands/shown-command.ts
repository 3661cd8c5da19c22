import type { SelectorFlags } from './selector-flags.ts';
import type { PointFlags } from './restore-point.ts';
import type { SpareFlags } from './spare-flags.ts';

/** Flags that a preview and the write that follows it have in common. */
export interface WriteFlags
  extends Omit<PointFlags, 'exclusive'>, SelectorFlags, Partial<SpareFlags> {
  readonly ttl?: string;
  readonly skip?: string;
  readonly keepMissing?: boolean;
  readonly onConflict?: string;
}

const FLAGS: readonly (readonly [keyof WriteFlags, string])[] = [
  ['at', '--at'],
  ['before', '--before'],
  ['offset', '--offset'],
  ['timeline', '--timeline'],
  ['backup', '--backup'],
  ['key', '--key'],
  ['regex', '--regex'],
  ['glob', '--glob'],
  ['keysFile', '--keys-file'],
  ['db', '--db'],
  ['type', '--type'],
  ['excludeKey', '--exclude-key'],
  ['excludeRegex', '--exclude-regex'],
  ['excludeGlob', '--exclude-glob'],
  ['excludeDb', '--exclude-db'],
  ['excludeType', '--exclude-type'],
  ['ttl', '--ttl'],
  ['skip', '--skip'],
  ['onConflict', '--on-conflict'],
  ['rateLimit', '--rate-limit'],
];

/**
 * The command that writes what a preview has shown, ready to be pasted.
 * @param at - The second that was looked at: a relative one (`-15m`) would be another one by then.
 */
export function writeLine(
  instance: string,
  flags: WriteFlags,
  { at, configPath }: { readonly at: string | null; readonly configPath: string },
): string {
  const given: WriteFlags = flags.at === undefined || at === null ? flags : { ...flags, at };
  const words = FLAGS.flatMap(([name, flag]) => {
    const value = given[name];
    if (typeof value === 'string') return [flag, value];
    return Array.isArray(value) ? value.flatMap((each: string) => [flag, each]) : [];
  });
  const keep = flags.keepMissing === true ? ['--keep-missing'] : [];
  const all = ['tidemark', '-c', configPath, 'restore', instance, ...words, ...keep];
  return [...all, '--to', 'original'].map(quoted).join(' ');
}

/** A word as a shell reads it. */
function quoted(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
