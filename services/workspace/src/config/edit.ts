import { readFile, rename, writeFile } from 'node:fs/promises';
import { UsageError } from '@tidemark/core';
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

/** Adds an instance at the end of the file; the rest of the text stays as it is. */
export async function addInstance(path: string, entry: InstanceEntry): Promise<void> {
  const text = await readFile(path, 'utf8');
  await replace(path, `${text.trimEnd()}\n\n[[instance]]\n${linesOf(entry)}\n`);
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
  const text = await readFile(path, 'utf8');
  const parts = text.split(/^(?=[ \t]*\[)/m);
  const kept = parts.map((part) => (isInstance(part, id) ? commentsAfter(part) : part));
  if (kept.every((part, at) => part === parts[at])) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
  }
  await replace(path, kept.join(''));
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

async function replace(path: string, text: string): Promise<void> {
  parseConfig(text, path); // never leave a file behind that cannot be read
  await writeFile(`${path}.tmp`, text, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

/** What JSON and TOML write alike. */
type TomlValue = string | boolean | number | readonly string[];

function quote(value: TomlValue): string {
  return JSON.stringify(value);
}
