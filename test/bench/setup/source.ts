import { setTimeout as delay } from 'node:timers/promises';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { CommandMaker } from './commands.ts';
import { runLoad, type LoadOrder, type LoadResult } from './load.ts';
import { sendAll } from './raw-link.ts';
import { Tidemark } from './tidemark.ts';

/** Keys of the source. */
export const SOURCE_KEYS = 2_000_000;
const MAXIMUM_SECONDS = 3;
/** What an archiver did while it attached settles. */
export const SETTLE_MS = 1_500;

/** How the source is loaded. */
export type LoadShape = Pick<LoadOrder, 'connections' | 'batch' | 'precedence' | 'mix'>;

/** A source under load, with an archiver that is not running yet. */
export class BenchSource implements AsyncDisposable {
  readonly server: RedisServer;
  readonly tidemark: Tidemark;
  /** Half of the commands a second that the server reaches alone. */
  readonly rate: number;
  readonly #dir: TempDir;
  readonly #shape: LoadShape;

  private constructor(
    parts: Pick<BenchSource, 'server' | 'tidemark' | 'rate'>,
    dir: TempDir,
    shape: LoadShape,
  ) {
    this.server = parts.server;
    this.tidemark = parts.tidemark;
    this.rate = parts.rate;
    this.#dir = dir;
    this.#shape = shape;
  }

  /** @param more - Commands after those that make its keys. */
  static async open(shape: LoadShape, more: Iterable<Buffer> = []): Promise<BenchSource> {
    const dir = await TempDir.create('tidemark-bench-');
    const server = await startRedis({
      config: { appendfsync: 'everysec', 'auto-aof-rewrite-percentage': '0' },
    });
    const tidemark = await Tidemark.init(dir.path, 'bench', server);
    await sendAll(server.socketPath, new CommandMaker(Date.now()).base(SOURCE_KEYS));
    await sendAll(server.socketPath, more);
    await (await tidemark.serve()).stop(); // what is there already is not what is measured
    const maximum = await load(server, shape, 0, MAXIMUM_SECONDS, 1);
    const rate = maximum.commands / maximum.seconds / 2;
    return new BenchSource({ server, tidemark, rate }, dir, shape);
  }

  /** Loads the source at half of its maximum. */
  async load(seconds: number, seed: number): Promise<LoadResult> {
    await delay(SETTLE_MS);
    return this.loadNow(seconds, seed);
  }

  /** The same at once. */
  loadNow(seconds: number, seed: number): Promise<LoadResult> {
    return load(this.server, this.#shape, this.rate, seconds, seed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

function load(
  { port, pid }: RedisServer,
  shape: LoadShape,
  rate: number,
  seconds: number,
  seed: number,
): Promise<LoadResult> {
  return runLoad({ port, serverPid: pid, keys: SOURCE_KEYS, ...shape, rate, seconds, seed });
}
