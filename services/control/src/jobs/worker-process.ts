import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

/** Field 22 of `/proc/PID/stat`, counted from the state, which is the first behind the name. */
const START_FIELD = 19;
const NAMED = /\.(\d{1,10})-(\d{1,20})-([0-9a-f]{16})-[0-9a-f]{8}$/;

/** Which process a worker is, so that others of its machine can tell that it lives no more. */
export interface WorkerProcess {
  readonly pid: number;
  /** When it began, in ticks of the kernel since the machine was started: a pid is used again one day. */
  readonly start: string;
  /** 16 hex digits: this start of this machine, and the pids and the time that the process sees. */
  readonly place: string;
}

/**
 * This process; null where the system does not tell.
 * @see proc(5), /proc/pid/stat, /proc/sys/kernel/random/boot_id; namespaces(7)
 */
export function thisProcess(): WorkerProcess | null {
  const start = startOf(process.pid);
  const place = placeOfThis();
  return start === null || place === null ? null : { pid: process.pid, start, place };
}

/**
 * The name of a worker of this process: `HOST.PID-START-PLACE-OWN`, or `HOST.PID-OWN` where the system
 * tells no more.
 */
export function workerName(host: string, own: string, here: WorkerProcess | null): string {
  const rest = here === null ? '' : `${here.start}-${here.place}-`;
  return `${host}.${process.pid.toString()}-${rest}${own}`;
}

/**
 * Whether the process of a worker provably lives no more. Of one that sees other pids (another machine or
 * container, or this machine before it was started anew) nobody can say: it is waited for.
 */
export function isGone(worker: string, here: WorkerProcess | null): boolean {
  const [, pid, start, place] = NAMED.exec(worker) ?? [];
  if (pid === undefined || here === null || place !== here.place) return false;
  if (!isThere(Number(pid))) return true;
  const found = startOf(Number(pid));
  return found !== null && found !== start;
}

/** Asked without a right to see the process in `/proc`, which may be hidden. @see kill(2) */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (cause) {
    return !(cause instanceof Error && 'code' in cause && cause.code === 'ESRCH');
  }
}

function startOf(pid: number): string | null {
  const text = tried(() => readFileSync(`/proc/${pid.toString()}/stat`, 'utf8'));
  if (text === null) return null;
  // A name may hold anything, brackets too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[START_FIELD] ?? null;
}

function placeOfThis(): string | null {
  const boot = tried(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
  const pids = tried(() => readlinkSync('/proc/self/ns/pid'));
  if (boot === null || pids === null) return null;
  const time = tried(() => readlinkSync('/proc/self/ns/time')) ?? '';
  const text = [boot.trim(), pids, time].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function tried(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
