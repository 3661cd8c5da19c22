import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from '@tidemark/archiver';
import { openControl, type Control, type Job, type JobEvent, type Json } from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import { Redis } from 'ioredis';
import { INSTANCE, type BenchOptions } from '../archiver-run.ts';
import { CloneBench, type CloneConfig } from '../control-clone/clone-bench.ts';
import { useDebugServers } from '../debug-servers.ts';

const CHILD = new URL('worker-child.ts', import.meta.url);
const HOOKS = new URL('../ts-hooks.js', import.meta.url);
const HELD_TIMEOUT_MS = 60_000;
const ENDED_TIMEOUT_MS = 90_000;

/** A worker counts as dead soon: a test would wait for a quarter of a minute else. */
const TIMING = { claimMs: 2_500, beatMs: 500, pollMs: 50 } as const;

/** Who asks. */
export const OPS = { name: 'ops', via: 'token' } as const;

const quiet: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};

/** A control plane of this process. */
export interface RunningControl extends AsyncDisposable {
  readonly control: Control;
  readonly onEvent: (listener: (event: JobEvent) => void) => () => void;
}

/** A captured server, and control planes of its host. */
export class JobBench implements AsyncDisposable {
  readonly clones: CloneBench;
  readonly #debug: AsyncDisposable;

  private constructor(clones: CloneBench, debug: AsyncDisposable) {
    this.clones = clones;
    this.#debug = debug;
  }

  static async open(config: CloneConfig = {}, options: BenchOptions = {}): Promise<JobBench> {
    const debug = await useDebugServers();
    return new JobBench(await CloneBench.open(config, options), debug);
  }

  get stateDir(): string {
    return this.clones.archive.stateDir();
  }

  /** Opens a control plane in this process, and lets it work. */
  async control(workers = true): Promise<RunningControl> {
    const { configPath } = this.clones;
    const control = await openControl({
      ...{ configPath, clock: systemClock, random: systemRandom, logger: quiet, timing: TIMING },
    });
    await control.workspace.sync(new AbortController().signal);
    const over = new AbortController();
    const running = control.run(over.signal, { workers, scheduler: false });
    const watched = control.jobs as unknown as Pick<RunningControl, 'onEvent'>;
    return {
      control,
      onEvent: (listener) => watched.onEvent(listener),
      async [Symbol.asyncDispose]() {
        over.abort(new Error('the test is over'));
        await running;
        await control[Symbol.asyncDispose]();
      },
    };
  }

  /** Has a worker in a process of its own, which is killed as soon as its job comes to a phase. */
  async killAt(phase: string): Promise<void> {
    const child = spawn(
      process.execPath,
      ['--import', HOOKS.href, fileURLToPath(CHILD), this.clones.configPath, phase],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const exited = once(child, 'exit');
    try {
      await Promise.race([
        once(child.stdout, 'data', { signal: AbortSignal.timeout(HELD_TIMEOUT_MS) }),
        exited.then(([code]) => {
          throw new Error(`the worker ended with ${String(code)} before ${phase}`);
        }),
      ]);
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  }

  /** Asks for a job. */
  submit({ jobs }: Control, kind: Job['kind'], request: Json): Promise<Job> {
    return jobs.submit({ kind, instance: INSTANCE, request, actor: OPS });
  }

  /** Waits for the end of a job. */
  async ended({ jobs }: Control, id: string): Promise<Job> {
    const signal = AbortSignal.timeout(ENDED_TIMEOUT_MS);
    for await (const _event of jobs.follow(id, 0, signal));
    const job = jobs.get(id);
    if (job.endedMs !== null) return job;
    throw new Error(`job ${id} does not end: ${JSON.stringify(job)}`);
  }

  /** Servers that run in the folder of new servers, by their process ids. */
  serversLeft(): readonly number[] {
    const root = join(this.stateDir, 'servers');
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => placeOf(pid).startsWith(root) && programOf(pid).startsWith('redis'));
  }

  /** Folders of new servers. */
  async foldersLeft(): Promise<readonly string[]> {
    return readdir(join(this.stateDir, 'servers')).catch(() => []);
  }

  /** Records of restores that are not over. */
  async recordsLeft(): Promise<readonly string[]> {
    return readdir(join(this.stateDir, 'restores')).catch(() => []);
  }

  /** A connection to the server that a restore has started, with the password that it was given. */
  async connectTo({ result }: Job): Promise<Redis> {
    const { target, passwordRef } = result as Record<'target' | 'passwordRef', string>;
    const path = join(this.clones.archive.dir, 'secrets', passwordRef);
    const password = (await readFile(path, 'utf8')).trim();
    const client = new Redis(target, { password, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** Ends every server that restores of the test have started. */
  endServers(): void {
    for (const pid of this.serversLeft()) process.kill(pid, 'SIGKILL');
  }

  /** What the log of the job says, in one text. */
  logOf({ jobs }: Control, id: string): string {
    return jobs
      .lines(id, 0, 1_000)
      .map(({ message }) => message)
      .join('\n');
  }

  /** The text of a file of the state folder. */
  async stateFile(name: string): Promise<Buffer> {
    return readFile(join(this.stateDir, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endServers();
    await this.clones[Symbol.asyncDispose]();
    await this.#debug[Symbol.asyncDispose]();
  }
}

function placeOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function programOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return '';
  }
}
