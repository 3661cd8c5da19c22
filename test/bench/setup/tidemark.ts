import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RedisServer } from '../../support/redis-server.ts';
import { PeakWatch } from './process-facts.ts';

const PROGRAM = fileURLToPath(new URL('../../../../services/cli/bin/tidemark.js', import.meta.url));

/** What a command of the command line gave. */
export interface Ran<T> {
  readonly document: T;
  readonly seconds: number;
  readonly peakBytes: number;
}

/** A running archiver. */
export interface RunningArchiver {
  readonly pid: number;
  /** Peak so far. */
  readonly peakBytes: () => number;
  /** SIGTERM; it ships what it has and ends. */
  readonly stop: () => Promise<void>;
}

/** A command that works. */
export interface BegunCommand {
  readonly pid: number;
  /** SIGINT; it must not have ended by itself. */
  readonly interrupt: () => Promise<void>;
  readonly hasEnded: () => boolean;
}

/** The built command line with its own folder. */
export class Tidemark {
  readonly config: string;

  private constructor(config: string) {
    this.config = config;
  }

  /** Runs `init` alone. */
  static async initEmpty(dir: string): Promise<Tidemark> {
    await run(['init', '--dir', dir, '-o', 'json']);
    return new Tidemark(`${dir}/tidemark.toml`);
  }

  /** Runs `init` and `instance add` for a source. */
  static async init(dir: string, id: string, source: RedisServer): Promise<Tidemark> {
    const tidemark = await Tidemark.initEmpty(dir);
    const url = `redis://127.0.0.1:${source.port}`;
    const { aofDir } = source;
    await tidemark.run('instance', 'add', id, '-u', url, '--aof-dir', aofDir, '--yes');
    return tidemark;
  }

  /** The same for a capture by replication. */
  static async initPsync(
    dir: string,
    id: string,
    url: string,
    flags: readonly string[] = [],
  ): Promise<Tidemark> {
    const tidemark = await Tidemark.initEmpty(dir);
    await tidemark.run('instance', 'add', id, '-u', url, '--source', 'psync', ...flags, '--yes');
    return tidemark;
  }

  /** Runs a command that must succeed. */
  async run<T>(...args: readonly string[]): Promise<Ran<T>> {
    const { out, ...rest } = await run(['-c', this.config, ...args, '-o', 'json']);
    return { document: JSON.parse(out) as T, ...rest };
  }

  /** Starts a command that is to be interrupted while it works. */
  begin(...args: readonly string[]): BegunCommand {
    const child = start(['-c', this.config, ...args, '-o', 'json']);
    const ended = once(child, 'close');
    let log = '';
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => (log = (log + text).slice(-4_000)));
    child.stdout?.resume();
    return {
      pid: child.pid ?? 0,
      interrupt: async () => {
        if (child.exitCode !== null) throw new Error(`it had ended with ${child.exitCode}: ${log}`);
        child.kill('SIGINT');
        await ended;
      },
      hasEnded: () => child.exitCode !== null,
    };
  }

  /** Starts the archiver and waits until it has caught up. */
  async serve(): Promise<RunningArchiver> {
    const child = start(['-c', this.config, 'serve', 'archiver']);
    const watch = new PeakWatch(child.pid ?? 0);
    const ended = once(child, 'exit');
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-4_000);
        if (log.includes('"caught-up"')) resolve();
      });
      child.once('exit', (code) => reject(new Error(`the archiver ended with ${code}: ${log}`)));
    });
    return {
      pid: child.pid ?? 0,
      peakBytes: () => watch.bytes,
      stop: async () => {
        child.kill('SIGTERM');
        const [code] = (await ended) as [number | null];
        watch[Symbol.dispose]();
        if (code !== 0) throw new Error(`the archiver ended with ${code}: ${log}`);
      },
    };
  }
}

function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function run(
  args: readonly string[],
): Promise<{ readonly out: string; readonly seconds: number; readonly peakBytes: number }> {
  const startMs = performance.now();
  const child = start(args);
  using watch = new PeakWatch(child.pid ?? 0);
  let [out, err] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  const seconds = (performance.now() - startMs) / 1000;
  if (code !== 0) throw new Error(`tidemark ${args.join(' ')} ended with ${code}: ${err}`);
  return { out, seconds, peakBytes: watch.bytes };
}
