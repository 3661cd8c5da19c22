import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const SERVERS = /^(redis|valkey|keydb)-server/;
const LOOK_MS = 50;
/** How long a server may take to write its log down before it is killed. */
const GRACE_MS = 20_000;
const KILLED_MS = 5_000;
const PAGE_BYTES = 4096;

/** Every process of the host by the folder that it works in. @see proc(5), /proc/pid/cwd */
export async function processesByFolder(): Promise<ReadonlyMap<string, readonly number[]>> {
  const names = await readdir('/proc').catch((): string[] => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const places = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => null)),
  );
  const found = new Map<string, number[]>();
  for (const [index, pid] of pids.entries()) {
    const place = places[index];
    if (place == null) continue;
    const known = found.get(place);
    if (known === undefined) found.set(place, [pid]);
    else known.push(pid);
  }
  return found;
}

/**
 * Whether a process is a server by name, or the shell that becomes one (`startServer`).
 * @see proc(5), /proc/pid/comm, /proc/pid/cmdline
 */
export async function isServerProcess(pid: number): Promise<boolean> {
  const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  if (SERVERS.test(program)) return true;
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [shell, option, , becomes] = line.split('\0');
  return shell === '/bin/sh' && option === '-c' && SERVERS.test(basename(becomes ?? ''));
}

/**
 * The server of a folder: a process that works in it, is a server by name, and either writes the log of the
 * folder or listens on its socket. A shell of somebody who looks around there is none.
 * @param candidates - Processes that work in the folder.
 * @see proc(5), /proc/pid/comm, /proc/pid/fd, /proc/net/unix
 */
export async function serverOf(dir: string, candidates: readonly number[]): Promise<number | null> {
  const sockets = candidates.length === 0 ? new Set<string>() : await socketsAt(dir);
  for (const pid of candidates) {
    const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (SERVERS.test(program) && (await holds(pid, dir, sockets))) return pid;
  }
  return null;
}

async function holds(pid: number, dir: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch((): string[] => []);
  const log = join(dir, 'server.log');
  for (const fd of fds) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    if (sockets.has(target) || ((fd === '1' || fd === '2') && target === log)) return true;
  }
  return false;
}

/** `socket:[INODE]` of what listens on the socket of a folder. */
async function socketsAt(dir: string): Promise<ReadonlySet<string>> {
  const text = await readFile('/proc/net/unix', 'utf8').catch(() => '');
  const path = join(dir, 'server.sock');
  const found = new Set<string>();
  for (const line of text.split('\n')) {
    const words = line.split(' ').filter((word) => word !== '');
    // Num RefCount Protocol Flags Type St Inode Path
    if (words.slice(7).join(' ') === path) found.add(`socket:[${words[6] ?? ''}]`);
  }
  return found;
}

/** Memory of a process that lies in RAM, in bytes. @see proc(5), /proc/pid/statm */
export async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '');
  return Number(text.split(' ')[1] ?? 0) * PAGE_BYTES;
}

/**
 * When a process was started, in ticks since the boot: with its id it names a process for good.
 * @returns Null when it is gone. @see proc(5), /proc/pid/stat
 */
export async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name in brackets may hold anything.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

/** The process that has a server started; with its start it is told from a later one with its id. */
export interface Starter {
  readonly pid: number;
  readonly start: string;
}

/** This process, as notes name it. */
export async function thisStarter(): Promise<Starter> {
  return { pid: process.pid, start: (await startOf(process.pid)) ?? '' };
}

/**
 * Ends the server of a folder as its owner would, and kills it when it takes too long. Each signal goes to a
 * process that was found to be that server right before.
 * @returns False when it still runs.
 */
export async function endServer(dir: string): Promise<boolean> {
  const place = await realpath(dir).catch(() => null);
  if (place === null) return true;
  let asked: number | null = null;
  const sinceMs = performance.now();
  for (;;) {
    const pid = await serverOf(place, (await processesByFolder()).get(place) ?? []);
    if (pid === null) return true;
    const waitedMs = performance.now() - sinceMs;
    if (waitedMs > GRACE_MS + KILLED_MS) return false;
    if (waitedMs > GRACE_MS) send(pid, 'SIGKILL');
    else if (pid !== asked) send(pid, 'SIGTERM');
    asked = pid;
    await delay(LOOK_MS);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
