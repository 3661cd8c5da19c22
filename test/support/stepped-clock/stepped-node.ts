import { join } from 'node:path';
import type { Windows } from '@tidemark/archive';
import type { CatalogTimeline } from '@tidemark/catalog';
import { restore, type RestoreReport, type WantedPoint } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import {
  ArchiverBench,
  INSTANCE,
  waitFor,
  type RunningArchiver,
  type StartOptions,
} from '../archiver-run.ts';
import { diffOracle, readOracle, type Oracle } from '../oracle.ts';
import { startRedis, type RedisServer } from '../redis-server.ts';
import { SteppedClock } from './stepped-clock.ts';
import { restoreRequest } from '../restore-request.ts';

/**
 * Milliseconds of a second in which commands run. Before them a sample comes, for no annotation tells
 * of a second that passes again; after them it is quiet, so that its end can be read.
 */
const WRITE_FROM_MS = 250;
const WRITE_UNTIL_MS = 550;

/** The dataset at the end of a second, in one of its passes. */
export interface SteppedSecond {
  readonly second: number;
  readonly oracle: Oracle;
}

/** A node whose clock steps, its archiver, and a server to restore into. */
export class SteppedNode implements AsyncDisposable {
  readonly clock: SteppedClock;
  readonly bench: ArchiverBench;
  readonly recorded: SteppedSecond[] = [];
  readonly #target: RedisServer;
  #source: Redis | null = null;
  #archiver: RunningArchiver | null = null;
  #number = 0;

  private constructor(clock: SteppedClock, bench: ArchiverBench, target: RedisServer) {
    this.clock = clock;
    this.bench = bench;
    this.#target = target;
  }

  static async start(
    config: Readonly<Record<string, string>> = { 'aof-timestamp-enabled': 'yes' },
  ): Promise<SteppedNode> {
    const clock = await SteppedClock.open();
    const target = await startRedis({ aof: false });
    const bench = await ArchiverBench.open({ binary: clock.binary, config });
    const node = new SteppedNode(clock, bench, target);
    await node.attach();
    return node;
  }

  /** Starts the archiver. */
  async attach(options: StartOptions = {}): Promise<void> {
    this.#archiver = await this.bench.begin({ limits: { rollMaxAgeMs: 100 }, ...options });
  }

  /** Stops the archiver, as SIGTERM does. */
  async leave(): Promise<void> {
    await this.#archiver?.stop();
  }

  /** Restarts the server; meanwhile its clock is set. */
  async restart(stepMs: number): Promise<void> {
    this.#source?.disconnect();
    this.#source = null;
    await this.bench.server.stop();
    await this.clock.step(stepMs);
    await this.bench.server.restart();
  }

  /** Runs commands in a part of so many seconds, and reads the dataset at the end of each. */
  async record(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      const last = this.recorded.at(-1)?.second;
      for (;;) {
        const timeMs = await this.timeMs();
        const into = timeMs % 1000;
        const fresh = Math.floor(timeMs / 1000) !== last;
        if (fresh && into >= WRITE_FROM_MS && into < WRITE_UNTIL_MS) break;
        await systemClock.sleep(5);
      }
      while ((await this.timeMs()) % 1000 < WRITE_UNTIL_MS) await this.write();
      const second = Math.floor((await this.timeMs()) / 1000);
      this.recorded.push({ second, oracle: await readOracle(await this.#redis()) });
    }
  }

  /** Runs one command and one transaction. */
  async write(): Promise<void> {
    const redis = await this.#redis();
    const number = ++this.#number;
    await redis
      .multi()
      .rpush('all', number)
      .hset(`hash:${number % 9}`, 'last', number)
      .exec();
    await redis.set(`key:${number % 50}`, number);
  }

  /** Milliseconds since the epoch by the server's clock. */
  async timeMs(): Promise<number> {
    const [seconds = 0, micros = 0] = (await (await this.#redis()).time()).map(Number);
    return seconds * 1000 + Math.floor(micros / 1000);
  }

  /** Waits until a second is proven, and gives the windows and timelines. */
  async proven(
    second: number,
  ): Promise<{ readonly windows: Windows; readonly timelines: readonly CatalogTimeline[] }> {
    await waitFor(async () => {
      const answer = (await this.#archiver?.ask('roll')) as { readonly provenTo: number | null };
      return (answer.provenTo ?? 0) >= second;
    });
    return this.bench.withCatalog((catalog) => ({
      windows: catalog.windows(INSTANCE),
      timelines: catalog.timelines(INSTANCE),
    }));
  }

  /** Restores a point and says where it differs from what was recorded. */
  async differences(point: WantedPoint, wanted: SteppedSecond): Promise<readonly string[]> {
    await this.restore(point);
    const client = await this.#target.connect();
    const differences = diffOracle(wanted.oracle, await readOracle(client));
    client.disconnect();
    return differences;
  }

  /** Restores a point into the target. */
  async restore(point: WantedPoint): Promise<RestoreReport> {
    return this.bench.withCatalog((catalog) =>
      restore(restoreRequest(this.#target.port, { instance: INSTANCE, point, promote: true }), {
        ...{ store: this.bench.store, keys: this.bench.keys, catalog },
        ...{
          clock: systemClock,
          random: systemRandom,
          original: null,
          onProgress: () => undefined,
        },
        stateDir: join(this.bench.stateDir(), 'restores'),
        signal: new AbortController().signal,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#source?.disconnect();
    await this.bench[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
    await this.clock[Symbol.asyncDispose]();
  }

  async #redis(): Promise<Redis> {
    this.#source ??= await this.bench.server.connect();
    return this.#source;
  }
}
