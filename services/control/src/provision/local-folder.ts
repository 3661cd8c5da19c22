import { mkdir, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { replaceFile } from '@tidemark/system';
import { isServerProcess, processesByFolder, type Starter } from './server-processes.ts';

const NOTE = 'clone.json';
const KILL_AFTER_MS = 5_000;

/** What is kept of a server that was started here: `clone.json` in its folder. No secret. */
export interface LocalNote {
  readonly version: 1;
  readonly id: string;
  readonly instance: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** `loading` until it was handed over. */
  readonly state: 'loading' | 'ready';
  readonly createdMs: number;
  /** What its data may need. Absent: of an earlier release. */
  readonly memoryBytes?: number;
  /** The file with its password in the folder of secrets; null: none was named. */
  readonly passwordRef?: string | null;
  /** The process that has it made. */
  readonly by?: Starter;
  /** The host whose attempt it is (`hostName`): two may share the folder of clones. Absent: of an earlier release. */
  readonly owner?: string;
  /** It was ended, and its data kept, by somebody who wants them. */
  readonly kept?: boolean;
}

/** Writes it so that it is there as a whole or not at all. */
export async function writeNote(dir: string, note: LocalNote): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await replaceFile(join(dir, NOTE), `${JSON.stringify(note)}\n`);
}

/** @returns Null when there is none. */
export async function readNote(dir: string): Promise<LocalNote | null> {
  const text = await readFile(join(dir, NOTE), 'utf8').catch(() => null);
  if (text === null) return null;
  const note = JSON.parse(text) as Omit<LocalNote, 'version'> & { readonly version: number };
  return note.version === 1 ? { ...note, version: 1 } : null;
}

/** Every server of this host, with its folder. */
export async function localServers(
  root: string,
): Promise<readonly (LocalNote & { readonly dir: string })[]> {
  const names = await readdir(root).catch((): string[] => []);
  const found = await Promise.all(
    names.sort().map(async (name) => {
      const dir = join(root, name);
      const note = await readNote(dir).catch(() => null);
      return note === null ? [] : [{ ...note, dir }];
    }),
  );
  return found.flat();
}

/**
 * Servers that work in a folder: one that was started there is found from its first moment on, and whatever became
 * of its files. A shell of somebody who looks around there is none.
 * @see proc(5), /proc/pid/cwd
 */
export async function processesIn(dir: string): Promise<readonly number[]> {
  const wanted = await realpath(dir).catch(() => null);
  if (wanted === null) return [];
  const pids = (await processesByFolder()).get(wanted) ?? [];
  const are = await Promise.all(pids.map(isServerProcess));
  return pids.filter((_, index) => are[index]);
}

/** Ends the servers of a folder: SIGTERM (or SIGKILL at once), then SIGKILL. */
export async function endProcesses(dir: string, gently: boolean): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const pids = await processesIn(dir);
    if (pids.length === 0) return;
    const signal = gently && waitedMs < KILL_AFTER_MS ? 'SIGTERM' : 'SIGKILL';
    if (waitedMs === 0 || signal === 'SIGKILL') for (const pid of pids) send(pid, signal);
    if (waitedMs > 4 * KILL_AFTER_MS) return;
    await delay(50);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/** Takes the folder of a server away, with all it holds. */
export async function removeFolder(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
}
