import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Ticks of utime and stime a second: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const WATCH_MS = 40;

/** CPU seconds (user and system) that all threads of a process used so far. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // After the name in brackets: field 14 is utime, 15 is stime (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of memory a process held at its peak; null when it has gone. */
export function peakBytesOf(pid: number): number | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(text) ?? [];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}

/**
 * Reads the peak of a process again and again until it ends: the last reading stays. That of a
 * process of Node which it started (a feeding process) is added; a server that it started is not.
 */
export class PeakWatch implements Disposable {
  readonly #timer: NodeJS.Timeout;
  readonly #pid: number;
  readonly #peaks = new Map<number, number>();

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), WATCH_MS);
  }

  get bytes(): number {
    this.#look();
    return [...this.#peaks.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  #look(): void {
    for (const pid of [this.#pid, ...nodesOf(this.#pid)]) {
      const bytes = Math.max(this.#peaks.get(pid) ?? 0, peakBytesOf(pid) ?? 0);
      this.#peaks.set(pid, bytes);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Processes of Node that a process has started. */
function nodesOf(pid: number): readonly number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return children
      .split(' ')
      .filter((child) => child !== '')
      .map(Number)
      .filter((child) => {
        const words = readFileSync(`/proc/${child}/cmdline`, 'latin1');
        return words.startsWith(`${process.execPath}\0`);
      });
  } catch {
    return []; // it has gone, or one that it started
  }
}

const LOOK_MS = 500;

/** How busy the machine is with other work: looked at when nothing of ours runs. */
export class OtherWork {
  #most = 0;

  /** Looks for half a second. */
  async look(): Promise<void> {
    const before = machineTicks();
    await delay(LOOK_MS);
    const after = machineTicks();
    const share = (after.busy - before.busy) / Math.max(1, after.all - before.all);
    this.#most = Math.max(this.#most, share);
  }

  /** For the detail of an outcome: what stands there on a busy machine is worth little. */
  get text(): string {
    return `other work took up to ${(this.#most * 100).toFixed(0)} % of the machine`;
  }
}

/** Ticks of all processors since the start (proc(5), /proc/stat): idle and iowait are not busy. */
function machineTicks(): { readonly busy: number; readonly all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
  const [user, nice, system, idle, wait, irq, softIrq, steal] = line
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number, number];
  const busy = user + nice + system + irq + softIrq + steal;
  return { busy, all: busy + idle + wait };
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}
