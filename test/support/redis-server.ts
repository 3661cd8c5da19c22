import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { startServer, type ServerProcess } from '@tidemark/client';
import { Redis, type RedisOptions } from 'ioredis';
import { serverBinaries } from './servers.ts';
import { TempDir } from './temp-dir.ts';

/** Settings of a test's connection. */
export type ConnectOptions = Omit<RedisOptions, 'replyMapping'>;

/** How a test wants its server. */
export interface StartRedisOptions {
  /** Program; default `redis-server` on the PATH. */
  readonly binary?: string;
  /** Append-only file with annotations. Default true. */
  readonly aof?: boolean;
  /** Settings over the defaults, as `CONFIG SET` takes them. */
  readonly config?: Readonly<Record<string, string | readonly string[]>>;
}

/**
 * A real server for one test, in its own temporary folder, on the loopback and a unix socket.
 *
 * `stop`, `kill` and `restart` keep folder, port and settings; disposing removes everything.
 */
export class RedisServer implements AsyncDisposable {
  private readonly temp: TempDir;
  private readonly options: StartRedisOptions;
  private process: ServerProcess;
  private readonly clients = new Set<Redis>();

  private constructor(temp: TempDir, options: StartRedisOptions, process: ServerProcess) {
    this.temp = temp;
    this.options = options;
    this.process = process;
  }

  static async start(options: StartRedisOptions): Promise<RedisServer> {
    const temp = await TempDir.create('tidemark-redis-');
    try {
      return new RedisServer(temp, options, await launch(temp.path, options, 0));
    } catch (error) {
      await temp[Symbol.asyncDispose]();
      throw error;
    }
  }

  get port(): number {
    return this.process.port;
  }

  get socketPath(): string {
    return this.process.socketPath ?? '';
  }

  /** The data folder (`dir` of the server). */
  get dir(): string {
    return this.temp.path;
  }

  /** The folder of the multi-part append-only file; before 7.0 there is none. */
  get aofDir(): string {
    return join(this.temp.path, 'appendonlydir');
  }

  get pid(): number {
    return this.process.pid;
  }

  /** Everything the server wrote to its log so far, over all its starts. */
  log(): Promise<string> {
    return readFile(this.process.logPath, 'utf8');
  }

  /**
   * A connected ioredis client over the unix socket (RESP2, no reconnect); it is closed with the
   * server. With a `port` in `options` it goes over TCP instead.
   */
  async connect(options: ConnectOptions = {}): Promise<Redis> {
    const settings: ConnectOptions = {
      ...(options.port === undefined ? { path: this.socketPath } : {}),
      protocol: 2,
      lazyConnect: true,
      retryStrategy: () => null,
      disableClientInfo: true,
      ...options,
    };
    const client = new Redis(settings);
    client.on('error', () => undefined); // commands reject by themselves
    client.once('end', () => this.clients.delete(client));
    this.clients.add(client);
    await client.connect();
    return client;
  }

  /** SIGTERM and wait. */
  async stop(): Promise<void> {
    await this.process.stop();
  }

  /** SIGKILL and wait. */
  async kill(): Promise<void> {
    await this.process.kill();
  }

  /** Stops (SIGTERM) if it runs, then starts on the same folder and port. */
  async restart(config: StartRedisOptions['config'] = {}): Promise<void> {
    const { port } = this;
    await this.process.stop();
    const options = { ...this.options, config: { ...this.options.config, ...config } };
    this.process = await launch(this.temp.path, options, port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.disconnect();
    await this.process.kill();
    await this.temp[Symbol.asyncDispose]();
  }
}

/** Settings that no server before 7.0 knows; it refuses to start with them. */
const SETTINGS_FROM_7 = new Set(['enable-debug-command', 'aof-timestamp-enabled']);

function launch(dir: string, options: StartRedisOptions, port: number): Promise<ServerProcess> {
  const aof = options.aof ?? true;
  const config = {
    'enable-debug-command': 'yes',
    'repl-diskless-sync-delay': '0',
    appendonly: aof ? 'yes' : 'no',
    ...(aof ? { 'aof-timestamp-enabled': 'yes' } : {}),
    ...options.config,
  };
  const known = Object.entries(config).filter(
    ([name]) => !isOld(options) || !SETTINGS_FROM_7.has(name),
  );
  return startServer({
    ...(options.binary === undefined ? {} : { binary: options.binary }),
    dir,
    port,
    unixSocket: true,
    readyTimeoutMs: 30_000,
    config: Object.fromEntries(known),
  });
}

/** Whether the program is one before 7.0. */
function isOld({ binary }: StartRedisOptions): boolean {
  const server = serverBinaries().find((known) => known.binary === binary);
  return server !== undefined && Number.parseInt(server.version, 10) < 7;
}

/**
 * Starts a real `redis-server` and waits until it answers; fails with the end of its log.
 *
 * @example
 * ```ts
 * await using server = await startRedis();
 * const client = await server.connect();
 * ```
 */
export function startRedis(options: StartRedisOptions = {}): Promise<RedisServer> {
  return RedisServer.start(options);
}
