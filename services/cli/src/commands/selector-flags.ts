import { Option, type Command } from 'commander';
import { UsageError } from '@tidemark/core';
import { keyOfText, readKeys, type KeyRule, type SelectorSpec } from '@tidemark/selector';
import type { Invocation } from '../invocation.ts';
import { readInput } from '../files/input-file.ts';

/** Flags that say which keys are meant; the same on every command that can choose keys. */
export interface SelectorFlags {
  readonly key?: readonly string[];
  readonly regex?: readonly string[];
  readonly glob?: readonly string[];
  readonly keysFile?: string;
  readonly db?: readonly string[];
  readonly type?: readonly string[];
  readonly excludeKey?: readonly string[];
  readonly excludeRegex?: readonly string[];
  readonly excludeGlob?: readonly string[];
  readonly excludeDb?: readonly string[];
  readonly excludeType?: readonly string[];
}

const GROUP = 'Which keys (each flag may be given again; see docs/selectors.md):';

const FLAGS: readonly (readonly [flag: string, help: string])[] = [
  ['--key <key>', 'this key; bytes as \\xHH, \\n, \\r, \\t, a backslash as \\\\'],
  ['--regex <pattern>', 'keys that the whole pattern fits: . * ? [abc] [^abc] [a-c] \\'],
  ['--glob <pattern>', 'keys that a glob fits, as in KEYS: * ? [abc] [^a] [a-c] \\'],
  ['--db <n>', 'keys of this database'],
  ['--type <type>', 'keys of this type: string, list, set, zset, hash, stream, or a module type'],
  ['--exclude-key <key>', 'not this key'],
  ['--exclude-regex <pattern>', 'not keys that the whole pattern fits'],
  ['--exclude-glob <pattern>', 'not keys that the glob fits'],
  ['--exclude-db <n>', 'not keys of this database'],
  ['--exclude-type <type>', 'not keys of this type'],
];

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

/** Adds the flags to a command. */
export function selectorFlags(command: Command): Command {
  for (const [flag, help] of FLAGS) {
    command.addOption(new Option(flag, help).argParser(collect).helpGroup(GROUP));
  }
  return command.addOption(
    new Option(
      '--keys-file <file>',
      'keys from a file, one on each line, escaped like --key; - = standard input',
    ).helpGroup(GROUP),
  );
}

/**
 * The selection that the flags name; null when none of them is given.
 * @param invocation - To read a file of keys: its signal ends that, its printer shows how far it is.
 * @throws UsageError `TM_SELECTOR_SYNTAX` for a wrong escape or database; `TM_SELECTOR_EMPTY` for a
 *   file without a key; `TM_USAGE`, `TM_LIMIT` for a file that cannot be used. Patterns are read by
 *   `compileSelector`.
 */
export async function selectorOf(
  flags: SelectorFlags,
  invocation: Invocation,
): Promise<SelectorSpec | null> {
  const include = rulesOf(flags.key, flags.regex, flags.glob);
  if (flags.keysFile !== undefined) {
    for (const key of await keysOf(flags.keysFile, invocation)) include.push({ kind: 'key', key });
  }
  const exclude = rulesOf(flags.excludeKey, flags.excludeRegex, flags.excludeGlob);
  const spec: SelectorSpec = {
    include,
    exclude,
    dbs: flags.db?.map(databaseOf) ?? null,
    excludeDbs: (flags.excludeDb ?? []).map(databaseOf),
    types: flags.type ?? null,
    excludeTypes: flags.excludeType ?? [],
  };
  const excludes = exclude.length + spec.excludeDbs.length + spec.excludeTypes.length;
  const named = include.length + excludes + (spec.dbs?.length ?? 0) + (spec.types?.length ?? 0);
  return named === 0 ? null : spec;
}

function rulesOf(
  keys: readonly string[] = [],
  regexes: readonly string[] = [],
  globs: readonly string[] = [],
): KeyRule[] {
  return [
    ...keys.map((key): KeyRule => ({ kind: 'key', key: keyOfText(key) })),
    ...regexes.map((pattern): KeyRule => ({ kind: 'regex', pattern })),
    ...globs.map((pattern): KeyRule => ({ kind: 'glob', pattern })),
  ];
}

async function keysOf(path: string, invocation: Invocation): Promise<readonly Buffer[]> {
  const keys = await readKeys(readInput(path, invocation));
  if (keys.length > 0) return keys;
  throw new UsageError('TM_SELECTOR_EMPTY', `the selection is empty: ${path} names no key`, {
    hint: 'one key on each line; nothing is restored for an empty list, never everything',
  });
}

function databaseOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError('TM_SELECTOR_SYNTAX', `${JSON.stringify(text)} is not a database`, {
    context: { pattern: text, position: 0 },
    hint: 'databases are numbered from 0: --db 0',
  });
}
