import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  ARCHIVER_IDENTITY,
  GuardedKms,
  refuseOpening,
  testKeys,
  type TestKeys,
} from './kms-server.ts';
import type { RedisServer } from './redis-server.ts';
import { TempDir } from './temp-dir.ts';

const PROGRAM = fileURLToPath(new URL('../../services/cli/bin/tidemark.js', import.meta.url));
const LOG_LINES_KEPT = 2_000;
const ARCHIVER = new RegExp(`^${ARCHIVER_IDENTITY['AWS_ACCESS_KEY_ID']}$`);
/** For a machine that does much else. */
const PROVEN_TIMEOUT_MS = 60_000;
/** Each look starts a program, which takes from what is waited for. */
const LOOK_EVERY_MS = 400;

/** How a command of the command line ended. */
export interface CliRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** An error as `-o json` prints it. */
export interface CliError {
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
  readonly hint: string | null;
  readonly context: Readonly<Record<string, unknown>>;
}

/** The document of `windows`. */
export interface WindowsDocument {
  readonly instance: string;
  readonly earliest: string | null;
  readonly latest: string | null;
  readonly provenTo: string | null;
  readonly shards: readonly {
    readonly shard: string;
    readonly pins: string | null;
    readonly ranges: readonly { readonly from: string; readonly to: string }[];
    readonly holes: readonly {
      readonly from: string;
      readonly to: string;
      readonly reason: string;
    }[];
  }[];
}

/** The document that `restore` ends with. */
export interface RestoreDocument {
  readonly id: string;
  readonly state: string;
  readonly at: string | null;
  readonly cut: {
    readonly timeline: string;
    readonly offset: string;
    readonly notBefore: string | null;
    readonly notAfter: string | null;
  };
  readonly ttl: string;
  readonly keys: number;
  readonly vanishing: number;
  readonly commands: number;
  readonly bytes: number;
  readonly elapsedSeconds: number;
  readonly target: string;
  readonly warnings: readonly string[];
}

/** A whole second as the command line writes it. */
export function iso(second: number): string {
  return new Date(second * 1000).toISOString().replace('.000Z', 'Z');
}

/** Unix seconds of a time as the command line writes it. */
export function secondOf(time: string): number {
  return Date.parse(time) / 1000;
}

/** A running `tidemark serve archiver`. */
export class ArchiverProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  #lines: string[] = [];
  #waiting: { readonly event: string; readonly found: () => void }[] = [];

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.exited = once(this.child, 'close').then(([code]) => code as number | null);
    this.child.stdout?.resume();
    let rest = '';
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    });
  }

  /** The last lines of its log. */
  get log(): string {
    return this.#lines.join('\n');
  }

  /** How many log lines of this name were written, of those that are kept. */
  count(event: string): number {
    return this.#lines.filter((line) => isEvent(line, event)).length;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves when a log line of this name was written; rejects when the process ends before. */
  async until(event: string): Promise<void> {
    if (this.#lines.some((line) => isEvent(line, event))) return;
    await Promise.race([
      new Promise<void>((found) => this.#waiting.push({ event, found })),
      this.exited.then((code) => {
        throw new Error(`the archiver ended with ${code} before "${event}":\n${this.log}`);
      }),
    ]);
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    if (this.isRunning) this.child.kill('SIGTERM');
    return this.exited;
  }

  /** SIGKILL, and wait until it is gone. */
  async kill(): Promise<void> {
    if (this.isRunning) this.child.kill('SIGKILL');
    await this.exited;
  }

  #take(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LOG_LINES_KEPT) this.#lines.shift();
    this.#waiting = this.#waiting.filter(({ event, found }) => {
      if (!isEvent(line, event)) return true;
      found();
      return false;
    });
  }
}

function isEvent(line: string, event: string): boolean {
  return line.includes(`"msg":${JSON.stringify(event)}`);
}

/** The built command line with a configuration, a store and keys in a temporary folder. */
export class Tidemark implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly #archivers: ArchiverProcess[] = [];
  readonly config: string;
  /** The key service, which refuses the archivers to open data keys; null with a ring. */
  readonly kms: GuardedKms | null;
  readonly #ownsKms: boolean;

  private constructor(temp: TempDir, kms: GuardedKms | null, ownsKms: boolean) {
    this.#temp = temp;
    this.config = join(temp.path, 'tidemark.toml');
    this.kms = kms;
    this.#ownsKms = ownsKms;
  }

  /**
   * Runs `tidemark init`.
   * @param flags - Further arguments of it.
   * @param settings - Lines that are added to the configuration file.
   * @param keys - Who wraps data keys; default as `TIDEMARK_TEST_KEYS` says, or a ring.
   */
  static async init(
    flags: readonly string[] = [],
    settings = '',
    keys: TestKeys = testKeys(),
  ): Promise<Tidemark> {
    const temp = await TempDir.create('tidemark-e2e-');
    const kms = keys === 'kms' ? await GuardedKms.start() : keys === 'ring' ? null : keys;
    const tidemark = new Tidemark(temp, kms, keys === 'kms');
    if (kms !== null) refuseOpening(kms.proxy, ARCHIVER);
    const keyFlags = kms === null ? [] : kms.initFlags;
    await tidemark.#expect(['init', '--dir', temp.path, ...keyFlags, ...flags], 0);
    await appendFile(tidemark.config, settings);
    return tidemark;
  }

  /** The folder of the configuration: with `store`, `state` and `ring` in it. */
  get dir(): string {
    return this.#temp.path;
  }

  /** Runs a command with this configuration, whatever its exit code. */
  run(...args: readonly string[]): Promise<CliRun> {
    return runTidemark(['-c', this.config, ...args]);
  }

  /** Starts a command with this configuration, to be watched, fed or killed; all is piped. */
  spawn(...args: readonly string[]): ChildProcess {
    const words = [PROGRAM, '-c', this.config, ...args];
    return spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Runs a command that must succeed; its one JSON document. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { out } = await this.#expect(['-c', this.config, ...args, '-o', 'json'], 0);
    return JSON.parse(out) as T; // two documents or none do not parse
  }

  /** Runs a command that must be refused; the error as JSON. Nothing may be on stdout. */
  async refused(code: number, ...args: readonly string[]): Promise<CliError> {
    const { out, err } = await this.#expect(['-c', this.config, ...args, '-o', 'json'], code);
    if (out !== '') throw new Error(`a refused command printed a result: ${out}`);
    const line = err.split('\n').findLast((text) => text.startsWith('{"error"'));
    if (line === undefined) throw new Error(`no error document in: ${err}`);
    return (JSON.parse(line) as { readonly error: CliError }).error;
  }

  /** `instance add ID … --yes` for a source. */
  async add(id: string, source: RedisServer, ...flags: readonly string[]): Promise<void> {
    const url = `redis://127.0.0.1:${source.port}`;
    await this.json(
      'instance',
      'add',
      id,
      '-u',
      url,
      '--aof-dir',
      existsSync(source.aofDir) ? source.aofDir : source.dir, // before 7.0: one file, in its folder
      '--yes',
      ...flags,
    );
  }

  /** `instance add ID … --source psync` for a source. */
  async addByReplication(
    id: string,
    source: RedisServer,
    ...flags: readonly string[]
  ): Promise<void> {
    const url = `redis://127.0.0.1:${source.port}`;
    await this.json('instance', 'add', id, '-u', url, '--source', 'psync', ...flags);
  }

  /** Starts `serve archiver`; does not wait for anything. */
  spawnArchiver(...flags: readonly string[]): ArchiverProcess {
    const args = ['-c', this.config, 'serve', 'archiver', ...flags];
    const archiver = new ArchiverProcess(args, this.kms === null ? {} : ARCHIVER_IDENTITY);
    this.#archivers.push(archiver);
    return archiver;
  }

  /** Starts `serve archiver` and waits until it has caught up. */
  async serve(...flags: readonly string[]): Promise<ArchiverProcess> {
    const archiver = this.spawnArchiver(...flags);
    await archiver.until('caught-up');
    return archiver;
  }

  windows(id: string): Promise<WindowsDocument> {
    return this.json<WindowsDocument>('windows', id);
  }

  /** Waits until `windows` reaches a second. */
  async untilProven(id: string, second: number): Promise<WindowsDocument> {
    const deadline = Date.now() + PROVEN_TIMEOUT_MS;
    for (;;) {
      const windows = await this.windows(id);
      if (windows.latest !== null && secondOf(windows.latest) >= second) return windows;
      if (Date.now() > deadline) {
        throw new Error(`${iso(second)} is not proven: ${JSON.stringify(windows)}`);
      }
      await delay(LOOK_EVERY_MS);
    }
  }

  /**
   * Restores a second into a running server that may hold data, without promoting it.
   * @param flags - Further flags of `restore`.
   */
  restore(
    id: string,
    second: number,
    target: RedisServer,
    ...flags: readonly string[]
  ): Promise<RestoreDocument> {
    return this.json<RestoreDocument>(
      ...['restore', id, '--at', iso(second), '--to', `redis://127.0.0.1:${target.port}`],
      ...['--yes', '--no-promote', ...flags],
    );
  }

  async #expect(args: readonly string[], code: number): Promise<CliRun> {
    const run = await runTidemark(args);
    if (run.code === code) return run;
    const said = `${run.out}\n${run.err}`.trim();
    throw new Error(`tidemark ${args.join(' ')} ended with ${run.code}, not ${code}:\n${said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#archivers.map((archiver) => archiver.kill()));
    if (this.#ownsKms) await this.kms?.[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }
}

/** Runs the built command line once. */
export async function runTidemark(args: readonly string[]): Promise<CliRun> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}
