import { lstat, mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { SERVER_NOTE } from '@tidemark/restorer';
import { replaceFile } from '@tidemark/system';
import type { Config } from '@tidemark/workspace';
import { readNote } from './local-folder.ts';
import {
  processesByFolder,
  residentBytes,
  serverOf,
  startOf,
  type Starter,
} from './server-processes.ts';

/** Folders that are looked at in one place. */
const FOLDERS_MAX = 4_096;

/** What is kept of a server that a restore starts: `server.json` in its folder. No secret. */
export interface RestoreNote {
  readonly version: 1;
  readonly job: string;
  readonly instance: string;
  readonly memoryBytes: number;
  readonly passwordRef: string;
  readonly createdMs: number;
  readonly by: Starter;
}

/** A server that Tidemark started on this host, as it is now. */
export interface HostServer {
  /** The name of a clone; the id of a restore. */
  readonly name: string;
  readonly kind: 'clone' | 'restore';
  /** Name of its folder. */
  readonly id: string;
  readonly dir: string;
  /** The job that had it made; null: a restore of the command line. */
  readonly job: string | null;
  readonly instance: string | null;
  /** Null: it never listened. */
  readonly address: { readonly host: string; readonly port: number; readonly tls: boolean } | null;
  /** `starting`: a process has it made, or loads it. */
  readonly state: 'starting' | 'running' | 'ended';
  readonly pid: number | null;
  /** What its data may need; 0: not known. */
  readonly memoryBytes: number;
  /** What it has of the memory; 0: it does not run. */
  readonly residentBytes: number;
  /** File in the folder of secrets; null: none is known. */
  readonly passwordRef: string | null;
  /** Null: not known. */
  readonly createdMs: number | null;
}

/** Where servers of restores live. */
export const serversRoot = ({ stateDir }: Pick<Config, 'stateDir'>): string =>
  join(stateDir, 'servers');

/** Writes the note of a server of a restore, before it is started. */
export async function writeRestoreNote(dir: string, note: RestoreNote): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await replaceFile(join(dir, SERVER_NOTE), `${JSON.stringify(note)}\n`);
}

/** Every server that was started on this host and has a folder still, by name. */
export async function hostServers(
  config: Pick<Config, 'stateDir' | 'clone'>,
): Promise<readonly HostServer[]> {
  const running = await processesByFolder();
  const clones = await foldersIn(config.clone.dir);
  const restores = await foldersIn(serversRoot(config));
  const found = await Promise.all([
    ...clones.map((folder) => cloneIn(folder, running)),
    ...restores.map((folder) => restoreIn(folder, running)),
  ]);
  const all = found.filter((server) => server !== null);
  return all.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Real folders only: a link could lead to what is not ours. */
async function foldersIn(root: string): Promise<readonly Folder[]> {
  const place = await realpath(root).catch(() => null);
  if (place === null) return [];
  const names = (await readdir(place)).sort().slice(0, FOLDERS_MAX);
  const found = await Promise.all(
    names.map(async (id): Promise<readonly Folder[]> => {
      const dir = join(place, id);
      const entry = await lstat(dir).catch(() => null);
      return entry?.isDirectory() === true ? [{ id, dir }] : [];
    }),
  );
  return found.flat();
}

interface Folder {
  readonly id: string;
  readonly dir: string;
}
type Running = ReadonlyMap<string, readonly number[]>;

async function cloneIn({ id, dir }: Folder, running: Running): Promise<HostServer | null> {
  const note = await readNote(dir).catch(() => null);
  if (note === null) return null;
  const pid = await serverOf(dir, running.get(dir) ?? []);
  const isStarting = note.state === 'loading' && (pid !== null || (await lives(note.by)));
  const { name, instance, host, port, tls, createdMs } = note;
  return {
    ...{ name, kind: 'clone', id, dir, job: note.id, instance, createdMs, pid },
    address: port === 0 ? null : { host, port, tls },
    state: isStarting ? 'starting' : pid === null ? 'ended' : 'running',
    memoryBytes: note.memoryBytes ?? 0,
    residentBytes: pid === null ? 0 : await residentBytes(pid),
    passwordRef: note.passwordRef ?? null,
  };
}

async function restoreIn({ id, dir }: Folder, running: Running): Promise<HostServer | null> {
  const note = await restoreNote(dir);
  const address = await addressIn(dir);
  if (note === null && address === null) return null;
  const pid = await serverOf(dir, running.get(dir) ?? []);
  // Its log is switched on once it is whole.
  const isLoaded = await lstat(join(dir, 'appendonlydir')).then(
    () => true,
    () => false,
  );
  const isStarting = !isLoaded && (pid !== null || (await lives(note?.by)));
  return {
    ...{ name: id, kind: 'restore', id, dir, address, pid },
    ...{ job: note?.job ?? null, instance: note?.instance ?? null },
    state: isStarting ? 'starting' : pid === null ? 'ended' : 'running',
    memoryBytes: note?.memoryBytes ?? 0,
    residentBytes: pid === null ? 0 : await residentBytes(pid),
    passwordRef: note?.passwordRef ?? null,
    // Of one of the command line its folder tells.
    createdMs: note?.createdMs ?? (await bornMs(dir)),
  };
}

/** When a folder was made; null where the file system does not tell. */
async function bornMs(dir: string): Promise<number | null> {
  const { birthtimeMs } = await lstat(dir);
  return birthtimeMs > 0 ? Math.floor(birthtimeMs) : null;
}

/** Whether the process that has a server made is there still. */
async function lives(by: Starter | undefined): Promise<boolean> {
  return by !== undefined && (await startOf(by.pid)) === by.start;
}

/** Null: none, as of the command line, or not of this version. */
async function restoreNote(dir: string): Promise<RestoreNote | null> {
  const text = await readFile(join(dir, SERVER_NOTE), 'utf8').catch(() => '{}');
  try {
    const note = JSON.parse(text) as Omit<RestoreNote, 'version'> & { readonly version: number };
    return note.version === 1 ? { ...note, version: 1 } : null;
  } catch {
    return null;
  }
}

/** Where a server listens, as its own file says; the server may have written that anew. */
async function addressIn(dir: string): Promise<HostServer['address']> {
  const text = await readFile(join(dir, 'server.conf'), 'utf8').catch(() => '');
  const settingOf = (name: string): string | undefined =>
    new RegExp(`^${name} "?([^"\\s]+)"?`, 'm').exec(text)?.[1];
  const [host, plain, tls] = ['bind', 'port', 'tls-port'].map(settingOf);
  const port = Number(tls ?? 0) > 0 ? Number(tls) : Number(plain ?? 0);
  if (host === undefined || !(port > 0)) return null;
  return { host, port, tls: Number(tls ?? 0) > 0 };
}
