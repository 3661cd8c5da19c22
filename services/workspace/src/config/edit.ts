import { UsageError } from '@tidemark/core';
import { editFile, nextOf } from '@tidemark/system';
import { parseConfig } from './load.ts';
import type { InstanceEntry } from './schema.ts';
import type { StoreTable } from './store.ts';

/** What `[keys]` of a new configuration says. */
export interface NewKeys {
  readonly provider: 'ring' | 'aws-kms';
  /** Folder of the ring. */
  readonly ring: string;
  /** The key that wraps data keys; null with the ring. */
  readonly kmsKeyId: string | null;
  readonly region: string | null;
  readonly endpoint: string | null;
}

/** The text of a new tidemark.toml. Paths may be relative to its folder. */
export function newConfigText(options: {
  readonly store: StoreTable;
  /** E.g. `1s`. */
  readonly rollMaxAge: string;
  readonly stateDir: string;
  readonly keys: NewKeys;
}): string {
  return `version = 1

[store]                    # where sealed objects go
${linesOf(options.store)}

[state]                    # catalog, spool, control socket: may be lost
dir = ${quote(options.stateDir)}
spool_max = "20GiB"

${keysText(options.keys)}

[archiver]
roll_max_age = ${quote(options.rollMaxAge)}        # how much may be lost with the host
roll_max_bytes = "8MiB"
`;
}

function keysText({ provider, ring, kmsKeyId, region, endpoint }: NewKeys): string {
  const kms = [
    ...(kmsKeyId === null ? [] : [`kms_key_id = ${quote(kmsKeyId)}`]),
    ...(region === null ? [] : [`kms_region = ${quote(region)}`]),
    ...(endpoint === null ? [] : [`kms_endpoint = ${quote(endpoint)}`]),
  ];
  const what = provider === 'ring' ? 'opened' : 'read';
  return [
    `[keys]                     # without the folder nothing can be ${what}: keep a copy elsewhere`,
    `provider = ${quote(provider)}`,
    `ring = ${quote(ring)}`,
    ...kms,
  ].join('\n');
}

/**
 * Adds an instance at the end of the file; the rest of the text stays as it is.
 * @throws UsageError `TM_EXISTS` for one that is there, `TM_CONFIG` when the file cannot be written.
 */
export async function addInstance(path: string, entry: InstanceEntry): Promise<void> {
  await edit(path, (text) => {
    const { instance: known = [] } = parseConfig(text, path);
    if (known.some(({ id }) => id === entry.id)) {
      throw new UsageError('TM_EXISTS', `instance ${entry.id} is configured already`);
    }
    return `${text.trimEnd()}\n\n[[instance]]\n${linesOf(entry)}\n`;
  });
}

/** Settings of an instance that are changed; null takes one out. */
export type InstanceChange = {
  readonly [Name in 'user' | 'password_file' | 'prefer_replica']?: NonNullable<
    InstanceEntry[Name]
  > | null;
};

/**
 * Changes settings of an instance; other lines stay as they are, comments too.
 * @throws UsageError `TM_NOT_FOUND`, `TM_CONFIG`.
 */
export async function changeInstance(
  path: string,
  id: string,
  change: InstanceChange,
): Promise<void> {
  await edit(path, (text) => {
    const { instance: known = [] } = parseConfig(text, path);
    const entry = known.find((one) => one.id === id);
    const parts = text.split(/^(?=[ \t]*\[)/m);
    const at = parts.findIndex((part) => isInstance(part, id));
    if (entry === undefined || at < 0) throw notConfigured(id);
    const merged = Object.entries({ ...entry, ...change }).filter(([, value]) => value !== null);
    const names = new Set(Object.keys(change));
    const part = parts[at] ?? '';
    parts[at] = withSettings(part, names, merged);
    return parts.join('');
  });
}

/** The lines of changed settings go, and those that are left are written below the last setting. */
function withSettings(
  part: string,
  names: ReadonlySet<string>,
  merged: readonly (readonly [string, unknown])[],
): string {
  const lines = part.split(/(?<=\n)/);
  const kept = lines.filter((line) => {
    const [, name = ''] = /^\s*([A-Za-z_]+)\s*=/.exec(line) ?? [];
    return !names.has(name);
  });
  const last = kept.findLastIndex((line) => !/^\s*(#|$)/.test(line));
  const above = kept.slice(0, last + 1).join('');
  const added = linesOf(Object.fromEntries(merged.filter(([name]) => names.has(name))));
  const gap = above.endsWith('\n') ? '' : '\n';
  return `${above}${added === '' ? '' : `${gap}${added}\n`}${kept.slice(last + 1).join('')}`;
}

function notConfigured(id: string): UsageError {
  return new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
}

function linesOf(table: object): string {
  return Object.entries(table)
    .map(([name, value]) => `${name} = ${quote(value as TomlValue)}`)
    .join('\n');
}

/**
 * Takes an instance out of the file; other text stays as it is, comments around it too.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export async function removeInstance(path: string, id: string): Promise<void> {
  await edit(path, (text) => {
    const parts = text.split(/^(?=[ \t]*\[)/m);
    const kept = parts.map((part) => (isInstance(part, id) ? commentsAfter(part) : part));
    if (kept.every((part, at) => part === parts[at])) throw notConfigured(id);
    return kept.join('');
  });
}

function isInstance(part: string, id: string): boolean {
  if (!/^[ \t]*\[\[instance\]\]/.test(part)) return false;
  const [, , found] = /^\s*id\s*=\s*(["'])(.*?)\1\s*(#.*)?$/m.exec(part) ?? [];
  return found === id;
}

/** What follows the last setting of a table: it may speak of the next one. */
function commentsAfter(part: string): string {
  const lines = part.split(/(?<=\n)/);
  const last = lines.findLastIndex((line) => !/^\s*(#|$)/.test(line));
  return lines
    .slice(last + 1)
    .join('')
    .replace(/^\s*\n/, '');
}

async function edit(path: string, change: (text: string) => string): Promise<void> {
  try {
    await editFile(path, (known) => {
      if (known === null) throw new UsageError('TM_CONFIG', `${path} is not there`);
      const text = change(known);
      parseConfig(text, path); // never leave a file behind that cannot be read
      return text;
    });
  } catch (cause) {
    throw isSystemError(cause) ? unwritten(path, cause) : cause;
  }
}

function unwritten(path: string, cause: unknown): UsageError {
  return new UsageError('TM_CONFIG', `${path} cannot be written`, {
    cause,
    hint: `its folder must be writable for the user of this process; while another one writes, ${nextOf(path)} is there`,
  });
}

function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && 'syscall' in cause;
}

/** What JSON and TOML write alike. */
type TomlValue = string | boolean | number | readonly string[];

function quote(value: TomlValue): string {
  return JSON.stringify(value);
}
