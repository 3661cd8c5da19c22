import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { NodeError } from '@tidemark/core';
import { encodeConfigFile } from './config-file.ts';
import { guardProcess } from './guard.ts';
import { pingOnce } from './ping.ts';

const LOOPBACK = '127.0.0.1';
const START_ATTEMPTS_MAX = 5;
const LOG_TAIL_BYTES = 4096;
/** Exit code of a shell that did not find the program. */
const SHELL_FOUND_NOTHING = 127;
/**
 * Of a scratch server: its report of a crash would write arguments of the running command into its
 * log. Known since Redis 6.2 and to every Valkey (redis.conf, "crash-log-enabled").
 */
const NO_CRASH_REPORT = { 'crash-log-enabled': 'no', 'crash-memcheck-enabled': 'no' };
const NAMES_CRASH_REPORT = />>> 'crash-(log|memcheck)-enabled/;
/** Longest path of a unix socket on Linux without the final zero byte (sockaddr_un). */
const SOCKET_PATH_BYTES_MAX = 107;

/** How a server is to be started. */
export interface StartServerOptions {
  /** Program; default `redis-server` on the PATH. */
  readonly binary?: string;
  /**
   * Data folder; made 0700 when absent. Holds also `server.conf`, `server.log`, `server.sock`. A server
   * that is detached or scratch has umask 077: its files are for this user alone.
   */
  readonly dir: string;
  /** TCP port on the bound address; 0 (default) takes a free one. */
  readonly port?: number;
  /** Further arguments. They are visible to every user of the machine: never a password. */
  readonly args?: readonly string[];
  /** Settings as `CONFIG SET` takes them, written to a file with mode 0600; a list repeats one. */
  readonly config?: Readonly<Record<string, string | readonly string[]>>;
  /** Tell also of the unix socket (mode 0700), `server.sock` in the folder. Default false. */
  readonly unixSocket?: boolean;
  /** False: no TCP port at all, the unix socket is the only way in. Default true. */
  readonly tcp?: boolean;
  /**
   * TLS only: its port on the bound address, 0 for a free one; `config` names certificate, key and
   * authorities. There is no plain port then, and the unix socket is told.
   */
  readonly tlsPort?: number;
  /** Whether the server lives on when this process ends. Default false. */
  readonly detached?: boolean;
  /**
   * A server for one piece of work: it ends with this process, even by SIGKILL; no core file, and no
   * report of a crash in its log (from Redis 6.2 on). Default false.
   */
  readonly scratch?: boolean;
  /** How long it may take until PING is answered, loading included. Default 60,000 ms. */
  readonly readyTimeoutMs?: number;
}

/** How a server process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A server process that this process started. Disposing stops it. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  readonly host: string;
  /** 0 without TCP, or with TLS only. */
  readonly port: number;
  /** 0 without TLS. */
  readonly tlsPort: number;
  /** Null unless it was asked for. */
  readonly socketPath: string | null;
  readonly dir: string;
  readonly logPath: string;
  /** Resolves when the process has ended, whatever the reason. */
  readonly exited: Promise<ServerExit>;
  /** Last 4 KiB of what the server wrote. */
  logTail(): Promise<string>;
  /** SIGTERM, then SIGKILL after `graceMs` (default 10,000); resolves when the process is gone. */
  stop(graceMs?: number): Promise<ServerExit>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<ServerExit>;
}

/**
 * Starts a server and waits until it answers PING.
 *
 * It binds the loopback unless `config.bind` says otherwise and saves no RDB by itself unless
 * `config.save` says so. Passwords belong into `config`: that file is 0600 and never on the
 * command line.
 * @throws NodeError `TM_SERVER_START` with the end of the server's log in `context.log`; no process
 *   is left behind.
 */
export async function startServer(options: StartServerOptions): Promise<ServerProcess> {
  const dir = resolve(options.dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const { tlsPort, tcp = true } = options;
  const wanted = tlsPort ?? (tcp ? (options.port ?? 0) : 0);
  const mayChoose = (tcp || tlsPort !== undefined) && wanted === 0;
  let quiet: Readonly<Record<string, string>> = options.scratch === true ? NO_CRASH_REPORT : {};
  for (let attempt = 1; ; attempt++) {
    try {
      const config = { ...quiet, ...options.config };
      return await startOn(mayChoose ? await freePort() : wanted, dir, { ...options, config });
    } catch (error) {
      const log = error instanceof NodeError ? logOf(error) : '';
      if (quiet === NO_CRASH_REPORT && NAMES_CRASH_REPORT.test(log)) {
        quiet = {}; // a server before 6.2, which held no data yet
        continue;
      }
      const clash = /address already in use/i.test(log);
      if (!clash || !mayChoose || attempt >= START_ATTEMPTS_MAX) throw error;
    }
  }
}

function logOf(error: NodeError): string {
  return typeof error.context.log === 'string' ? error.context.log : '';
}

/** A port that was free a moment ago; the caller retries when somebody else was faster. */
function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, LOOPBACK, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolvePort(port));
    });
  });
}

async function startOn(
  port: number,
  dir: string,
  options: StartServerOptions,
): Promise<ServerProcess> {
  // Readiness is asked on a socket of this server alone: on a TCP port that was taken meanwhile,
  // somebody else would answer.
  const ownSocket = await socketPathFor(dir, options);
  const configPath = join(dir, 'server.conf');
  const logPath = join(dir, 'server.log');
  await writePrivate(
    configPath,
    encodeConfigFile({
      bind: LOOPBACK,
      save: '',
      ...options.config,
      daemonize: 'no',
      dir,
      port: String(options.tlsPort === undefined ? port : 0),
      ...(options.tlsPort === undefined ? {} : { 'tls-port': String(port) }),
      unixsocket: ownSocket,
      unixsocketperm: '700',
    }),
  );
  const log = await open(
    logPath,
    constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
    0o600,
  );
  const logStart = (await log.stat()).size;
  let server: SpawnedServer;
  try {
    const { command, words } = commandOf(configPath, options);
    const child = spawn(command, words, {
      cwd: dir,
      detached: options.detached === true,
      stdio: ['ignore', log.fd, log.fd],
    });
    // Listens at once: a program that is missing is told in the next turn.
    const socketPath = isPublic(options) ? ownSocket : null;
    const ports = options.tlsPort === undefined ? { port, tlsPort: 0 } : { port: 0, tlsPort: port };
    server = new SpawnedServer({ child, ...ports, socketPath, ownSocket, dir, logPath, logStart });
    if (options.detached === true) child.unref();
    if (options.scratch === true) guardChild(child);
  } finally {
    await log.close();
  }
  try {
    await server.waitReady(options.readyTimeoutMs ?? 60_000);
  } finally {
    if (dirname(ownSocket) !== dir) await rm(dirname(ownSocket), { recursive: true, force: true });
  }
  return server;
}

function commandOf(
  configPath: string,
  { binary = 'redis-server', args = [], scratch, detached }: StartServerOptions,
): { readonly command: string; readonly words: readonly string[] } {
  const words = [configPath, ...args];
  if (scratch !== true && detached !== true) return { command: binary, words };
  // What it writes of the data is for this user alone; a server asks nobody but its umask about that.
  const limits = scratch === true ? 'umask 077; ulimit -c 0' : 'umask 077';
  return { command: '/bin/sh', words: ['-c', `${limits}; exec "$0" "$@"`, binary, ...words] };
}

function guardChild(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const guard = guardProcess(child.pid);
  child.once('exit', () => guard[Symbol.dispose]());
}

function isPublic(options: StartServerOptions): boolean {
  const isOnlyPlainWay = options.tcp === false || options.tlsPort !== undefined;
  return options.unixSocket === true || isOnlyPlainWay;
}

async function socketPathFor(dir: string, options: StartServerOptions): Promise<string> {
  const path = join(dir, 'server.sock');
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return path;
  if (!isPublic(options)) return join(await mkdtemp(join(tmpdir(), 'tidemark-')), 'server.sock');
  throw new NodeError('TM_SERVER_START', 'the path of the unix socket is too long', {
    context: { bytes, bytesMax: SOCKET_PATH_BYTES_MAX },
    hint: 'choose a folder with a shorter path',
  });
}

async function writePrivate(path: string, text: string): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
  await chmod(path, 0o600);
}

interface SpawnedFacts {
  readonly child: ChildProcess;
  readonly port: number;
  readonly tlsPort: number;
  readonly socketPath: string | null;
  readonly ownSocket: string;
  readonly dir: string;
  readonly logPath: string;
  readonly logStart: number;
}

class SpawnedServer implements ServerProcess {
  readonly host = LOOPBACK;
  readonly pid: number;
  readonly port: number;
  readonly tlsPort: number;
  readonly socketPath: string | null;
  readonly dir: string;
  readonly logPath: string;
  readonly exited: Promise<ServerExit>;
  private readonly child: ChildProcess;
  private readonly ownSocket: string;
  private readonly logStart: number;
  private ended: ServerExit | null = null;
  private failure: Error | null = null;

  constructor(facts: SpawnedFacts) {
    this.child = facts.child;
    this.pid = facts.child.pid ?? -1;
    this.port = facts.port;
    this.tlsPort = facts.tlsPort;
    this.socketPath = facts.socketPath;
    this.ownSocket = facts.ownSocket;
    this.dir = facts.dir;
    this.logPath = facts.logPath;
    this.logStart = facts.logStart;
    this.exited = new Promise((resolveExit) => {
      const finish = (exit: ServerExit): void => {
        this.ended = exit;
        resolveExit(exit);
      };
      facts.child.on('exit', (code, signal) => finish({ code, signal }));
      facts.child.on('error', (error) => {
        this.failure = error;
        if (facts.child.pid === undefined) finish({ code: null, signal: null });
      });
    });
  }

  async waitReady(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (let pauseMs = 5; ; pauseMs = Math.min(100, pauseMs * 2)) {
      await Promise.race([delay(pauseMs), this.exited]);
      if (this.ended !== null) throw await this.startError('the server ended while it started');
      if ((await pingOnce({ path: this.ownSocket }, 1000)) === 'ready') return;
      if (performance.now() > deadline) {
        const error = await this.startError('the server did not answer in time');
        await this.kill();
        throw error;
      }
    }
  }

  private async startError(message: string): Promise<NodeError> {
    const missing =
      this.ended?.code === SHELL_FOUND_NOTHING ||
      (this.failure !== null && 'code' in this.failure && this.failure.code === 'ENOENT');
    return new NodeError('TM_SERVER_START', message, {
      context: {
        port: this.port,
        code: this.ended?.code ?? null,
        signal: this.ended?.signal ?? null,
        log: await this.logTail(),
      },
      hint: missing
        ? 'the server program was not found; install it or name it'
        : `see ${this.logPath}`,
      cause: this.failure ?? undefined,
    });
  }

  async logTail(): Promise<string> {
    const file = await open(this.logPath, 'r');
    try {
      const { size } = await file.stat();
      const start = Math.max(this.logStart, size - LOG_TAIL_BYTES);
      const tail = Buffer.alloc(Math.max(0, size - start));
      const { bytesRead } = await file.read(tail, 0, tail.length, start);
      return tail.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  }

  async stop(graceMs = 10_000): Promise<ServerExit> {
    if (this.ended !== null) return this.ended;
    this.child.ref(); // else nothing keeps this process alive until the other one is gone
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  async kill(): Promise<ServerExit> {
    if (this.ended !== null) return this.ended;
    this.child.ref();
    this.child.kill('SIGKILL');
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
