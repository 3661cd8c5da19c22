import { randomUUID } from 'node:crypto';
import { readdir, readFile, readlink, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createToken } from '@tidemark/control';
import { systemRandom } from '@tidemark/system';
import { Redis, type RedisOptions } from 'ioredis';
import { endProcesses, processesIn } from '../../../services/control/src/provision/local-folder.ts';
import { EventFollower } from './event-follower.ts';
import { askApi, askPatiently, type Answer, type Asked } from '../api-run.ts';
import { useDebugServers } from '../debug-servers.ts';
import { eventually } from '../eventually.ts';
import { startRedis, type RedisServer } from '../redis-server.ts';
import { ArchiverProcess, secondOf, Tidemark } from '../tidemark-cli.ts';
import { freePort } from '../tls/tls-server.ts';

const hookOf = (name: string): string => `--import=${new URL(name, import.meta.url).href}`;
/** The API answers 1200 requests in a minute. */
const ASK_AGAIN_MS = 150;
/** Folders in which restores and clones start servers. */
const PLACES = [join('state', 'servers'), 'clones'] as const;

/** Id under which the source is protected. */
export const ID = 'shop';
export const ONE = `/v1/instances/${ID}`;

/** A job as the API shows it. */
export interface JobDocument {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly phase: string;
  readonly attempt: number;
  readonly resumable: boolean;
  readonly worker: string | null;
  readonly createdAt: string;
  readonly endedAt: string | null;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly problem: { readonly code: string } | null;
}

/** What an archiver does next as it makes a backup, or has just done. */
export type BackupPoint = 'ask' | 'rewrite' | 'read' | 'ship' | 'publish' | 'told';

/** What a worker sends itself, and as which phase begins. */
export interface Stop {
  readonly phase: string;
  readonly signal: 'SIGSTOP' | 'SIGKILL';
}

/** A worker, and the file that says where it is to stop. */
export interface Worker {
  readonly process: ArchiverProcess;
  /** It stands still as soon as a job comes to the phase. */
  readonly stopAt: (phase: string) => Promise<void>;
  /** Waits until it stands still. */
  readonly stopped: () => Promise<void>;
  readonly goOn: () => void;
}

/** A protected source; API, archiver and workers are processes of the command line, and are asked over HTTP. */
export class ControlHost implements AsyncDisposable {
  readonly tidemark: Tidemark;
  readonly source: RedisServer;
  readonly redis: Redis;
  readonly #token: string;
  readonly #port: number;
  readonly #processes: ArchiverProcess[] = [];
  readonly #debug: AsyncDisposable;

  private constructor(
    parts: Pick<ControlHost, 'tidemark' | 'source' | 'redis'> & {
      readonly debug: AsyncDisposable;
    },
    token: string,
    port: number,
  ) {
    this.tidemark = parts.tidemark;
    this.source = parts.source;
    this.redis = parts.redis;
    this.#debug = parts.debug;
    this.#token = token;
    this.#port = port;
  }

  /**
   * Protects a source. Nothing is served yet.
   * @param settings - Lines of `[restorer]`.
   */
  static async start(settings: string): Promise<ControlHost> {
    const debug = await useDebugServers();
    const first = await freePort();
    const ports = `${first}-${Math.min(65_535, first + 40)}`;
    const clone = `[clone]\nports = "${ports}"\ndir = "clones"\n`;
    const [tidemark, source, port] = await Promise.all([
      Tidemark.init([], `[restorer]\n${settings}${clone}`, 'ring'),
      startRedis(),
      freePort(),
    ]);
    await tidemark.add(ID, source);
    const rights = { scope: 'read,backup,restore,admin', expiresMs: null };
    const path = join(tidemark.dir, 'tokens');
    const { token } = await createToken(path, 'all', rights, systemRandom);
    const parts = { tidemark, source, redis: await source.connect(), debug };
    return new ControlHost(parts, token, port);
  }

  /**
   * Starts `serve archiver`.
   * @param killAt - Where in the making of a backup it is killed; see kill-at-backup.js.
   */
  archiver(killAt: BackupPoint | null = null): ArchiverProcess {
    if (killAt === null) return this.#serve(['archiver']);
    const env = { KILL_AT: killAt, NODE_OPTIONS: hookOf('kill-at-backup.js') };
    return this.#serve(['archiver'], env);
  }

  /** Starts `serve api`, which leaves jobs to workers; after a kill on the same address. */
  api(): ArchiverProcess {
    return this.#serve(['api', '--no-workers', '--listen', `127.0.0.1:${this.#port}`]);
  }

  /**
   * Starts `serve restorer`.
   * @param first - Where it stops for the first time.
   */
  async worker(first: Stop | null = null): Promise<Worker> {
    const file = join(this.tidemark.dir, `stop-${randomUUID()}`);
    const stopAt = async ({ phase, signal }: Stop): Promise<void> => {
      await writeFile(`${file}.new`, `${signal} ${phase}`);
      await rename(`${file}.new`, file);
    };
    if (first !== null) await stopAt(first);
    const env = { STOP_FILE: file, NODE_OPTIONS: hookOf('stop-at-phase.js') };
    const process_ = this.#serve(['restorer'], env);
    const pid = process_.child.pid ?? 0;
    return {
      process: process_,
      stopAt: async (phase) => stopAt({ phase, signal: 'SIGSTOP' }),
      stopped: () =>
        eventually('a worker stands still', async () => {
          if (!process_.isRunning) throw new Error(`a worker has ended:\n${process_.log}`);
          return (await stateOf(pid)) === 'T';
        }),
      goOn: () => void process.kill(pid, 'SIGCONT'),
    };
  }

  #serve(what: readonly string[], env: Readonly<Record<string, string>> = {}): ArchiverProcess {
    const started = new ArchiverProcess(['-c', this.tidemark.config, 'serve', ...what], env);
    this.#processes.push(started);
    return started;
  }

  /** Follows the events of a job. */
  follow(id: string): EventFollower {
    return new EventFollower(`http://127.0.0.1:${this.#port}/v1/jobs/${id}/events`, this.#token);
  }

  ask(path: string, asked: Asked = {}): Promise<Answer> {
    const url = `http://127.0.0.1:${this.#port}`;
    return askPatiently(() => askApi(url, this.#token, path, asked));
  }

  /** Sends a body with a key. */
  post(path: string, body: unknown = {}, key: string = randomUUID()): Promise<Answer> {
    return this.ask(path, { method: 'POST', headers: { 'idempotency-key': key }, body });
  }

  /** Begins work. @returns The id of its job. */
  async begin(path: string, body: unknown, key: string = randomUUID()): Promise<string> {
    const answer = await this.post(path, body, key);
    if (answer.status !== 202) throw new Error(`${answer.status}: ${answer.text}`);
    return String(answer.body?.['id']);
  }

  /** Waits until the API answers. */
  async untilServed(): Promise<void> {
    await eventually('the API answers', async () => {
      await delay(ASK_AGAIN_MS);
      return this.ask('/healthz').then(
        ({ status }) => status === 200,
        () => false,
      );
    });
  }

  /** A job as it is now. */
  async job(id: string): Promise<JobDocument> {
    const { body, text, status } = await this.ask(`/v1/jobs/${id}`);
    if (status !== 200) throw new Error(`${status}: ${text}`);
    return body as unknown as JobDocument;
  }

  /** Waits for the end of a job. */
  async ended(id: string): Promise<JobDocument> {
    const follower = this.follow(id);
    const ended = follower.done.then(() => true);
    try {
      await eventually(`the end of ${id}`, () =>
        Promise.race([ended, delay(1_000, false, { ref: false })]),
      );
    } finally {
      await follower.stop();
    }
    return this.job(id);
  }

  /** Waits until everything up to a second can be restored. */
  async untilProven(second: number): Promise<void> {
    await eventually(`${second} is proven`, async () => {
      await delay(ASK_AGAIN_MS);
      const { body } = await this.ask(`${ONE}/windows`);
      const latest = body?.['latest'];
      return typeof latest === 'string' && secondOf(latest) >= second;
    });
  }

  /** Folders in which servers run, or did. */
  async servers(): Promise<readonly string[]> {
    const found = await Promise.all(
      PLACES.map(async (place) => {
        const root = join(this.tidemark.dir, place);
        return (await readdir(root).catch((): string[] => [])).map((name) => join(root, name));
      }),
    );
    return found.flat();
  }

  /** The password of the server that a restore has started. */
  async passwordOf(result: JobDocument['result']): Promise<{ readonly password: string }> {
    const path = join(this.tidemark.dir, 'secrets', String(result?.['passwordRef']));
    return { password: (await readFile(path, 'utf8')).trim() };
  }

  /** What restores and clones have left: folders of servers, records, secrets. */
  async leftovers(): Promise<readonly string[]> {
    const { dir } = this.tidemark;
    const records = await readdir(join(dir, 'state', 'restores')).catch((): string[] => []);
    const secrets = await readdir(join(dir, 'secrets')).catch((): string[] => []);
    return [
      ...(await this.servers()),
      ...records.filter((name) => name.endsWith('.json')),
      ...secrets.filter((name) => name.includes('job-')),
    ];
  }

  /** Ends every server that restores and clones have started. */
  async endServers(): Promise<void> {
    for (const dir of await this.servers()) await endProcesses(dir, false);
  }

  /** How many servers run that restores and clones have started. */
  async running(): Promise<number> {
    const pids = await Promise.all((await this.servers()).map(processesIn));
    return pids.flat().length;
  }

  /** Command lines of processes that work with this host and were not started here. */
  async strangers(): Promise<readonly string[]> {
    const { dir } = this.tidemark;
    const own = new Set(this.#processes.map(({ child }) => child.pid?.toString()));
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && !own.has(name));
    const found = pids.map(async (pid) => {
      const place = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return place.startsWith(dir) || words.includes(dir) ? [words.replaceAll('\0', ' ')] : [];
    });
    return (await Promise.all(found)).flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.kill()));
    await this.endServers();
    await this.tidemark[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
    await this.#debug[Symbol.asyncDispose]();
  }
}

/** Runs work with a connection of its own. */
export async function withRedis<T>(
  url: string,
  work: (client: Redis) => Promise<T>,
  options: Pick<RedisOptions, 'tls' | 'password'> = {},
): Promise<T> {
  const { hostname: host, port } = new URL(url);
  const own = { host, port: Number(port), protocol: 2, lazyConnect: true } as const;
  const client = new Redis({ ...own, ...options, retryStrategy: () => null });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
  }
}

/** One letter; null = there is no such process. See proc(5). */
async function stateOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).charAt(0);
}
