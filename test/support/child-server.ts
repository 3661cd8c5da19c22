import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const OUTPUT_KEPT = 4_096;
const PORT_ATTEMPTS_MAX = 5;
const STOP_MS_MAX = 15_000;

/** How a server program is started. */
export interface LaunchChild {
  readonly program: string;
  readonly args: readonly string[];
  /** Over the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it answers. */
  readonly isUp: () => Promise<boolean>;
}

/** A server of a test that is a process of its own on a port; it does not outlive this one. */
export class ChildServer {
  readonly #name: string;
  readonly #startSecondsMax: number;
  #process: ChildProcess | null = null;
  #output = '';

  /** @param name - For messages. */
  constructor(name: string, startSecondsMax: number) {
    this.#name = name;
    this.#startSecondsMax = startSecondsMax;
  }

  /** 0: it does not run. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Tries ports until one is not taken by somebody else meanwhile. */
  async start(tryOnce: () => Promise<boolean>): Promise<void> {
    for (let attempt = 1; !(await tryOnce()); attempt++) {
      if (attempt === PORT_ATTEMPTS_MAX) throw this.#fault('did not start');
    }
  }

  /** Ends it and starts it again as `launch` does. */
  async restart(launchAgain: () => Promise<boolean>): Promise<void> {
    await this.end('SIGKILL');
    if (!(await launchAgain())) throw this.#fault('did not start again');
  }

  /** @returns Whether it answers; false when it ended, e.g. because its port was taken. */
  async launch({ program, args, env = {}, isUp }: LaunchChild): Promise<boolean> {
    this.#output = '';
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    endWithUs(child);
    const over = new Promise<'over'>((resolve) => {
      child.once('exit', () => resolve('over'));
      child.once('error', (error) => {
        this.#output += String(error);
        resolve('over');
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_KEPT);
      });
    }
    const end = performance.now() + this.#startSecondsMax * 1000;
    while (performance.now() < end) {
      const up = await isUp();
      if ((await Promise.race([over, sleep(50)])) === 'over') return false;
      if (up) return true;
    }
    throw this.#fault(`did not come up within ${this.#startSecondsMax} s`);
  }

  /** SIGSTOP, SIGCONT. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(name);
  }

  /** Sends a signal and waits; SIGKILL when it does not end by itself. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const over = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    await over;
    clearTimeout(late);
  }

  #fault(what: string): Error {
    return new Error(`${this.#name} ${what}:\n${this.#output}`);
  }
}

/** Outside of what the system gives out by itself, where somebody would take it before the server. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + randomInt(18_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

const ours = new Set<ChildProcess>();

/** A test file that fails before it can clean up leaves no server behind. */
function endWithUs(child: ChildProcess): void {
  if (ours.size === 0) process.on('exit', endAll);
  ours.add(child);
  child.once('exit', () => {
    ours.delete(child);
    if (ours.size === 0) process.off('exit', endAll);
  });
}

function endAll(): void {
  for (const each of ours) each.kill('SIGKILL');
}
