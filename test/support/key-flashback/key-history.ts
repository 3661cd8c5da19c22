import { join } from 'node:path';
import { connectNode, type NodeClient } from '@tidemark/client';
import type { RestoreEnvironment, RestoreReport } from '@tidemark/restorer';
import type { SelectorSpec } from '@tidemark/selector';
import { systemClock, systemRandom } from '@tidemark/system';
import {
  restoreIntoScratch,
  type ScratchServer,
} from '../../../services/restorer/src/scratch/scratch-server.ts';
import { restore } from '../../../services/restorer/src/run/restore.ts';
import { ArchiverBench, INSTANCE, type RunningArchiver } from '../archiver-run.ts';
import { rewriteAof } from '../aof-source.ts';
import type { RedisServer } from '../redis-server.ts';
import type { ServerBinary } from '../servers.ts';
import { DependencyWorkload, type DependencyOptions } from '../workload/dependency-workload.ts';
import { useScratchProgram } from './scratch-program.ts';
import { restoreRequest } from '../restore-request.ts';

/** Databases of the source and of every target. */
export const DATABASES = 4;

const PROVEN_MS_MAX = 60_000;
const STEP_PAUSE_MS = 15;

/** What history is wanted. */
export interface HistoryOptions {
  /** Program of the source and of scratch servers; null = `redis-server` on the PATH. */
  readonly server: ServerBinary | null;
  /** How many whole seconds of it can be restored, at least. */
  readonly seconds: number;
  readonly workload: DependencyOptions;
}

/**
 * A server whose keys depend on each other, and the archive of some seconds of its life. The server
 * stays; its archiver has stopped.
 */
export class KeyHistory implements AsyncDisposable {
  readonly bench: ArchiverBench;
  readonly workload: DependencyWorkload;
  /** Seconds that can be restored, oldest first. */
  readonly seconds: readonly number[];
  readonly #owned: readonly AsyncDisposable[];

  private constructor(
    bench: ArchiverBench,
    workload: DependencyWorkload,
    seconds: readonly number[],
    owned: readonly AsyncDisposable[],
  ) {
    this.bench = bench;
    this.workload = workload;
    this.seconds = seconds;
    this.#owned = owned;
  }

  static async record(options: HistoryOptions): Promise<KeyHistory> {
    const owned: AsyncDisposable[] = [];
    try {
      if (options.server !== null) owned.push(await useScratchProgram(options.server));
      const bench = await ArchiverBench.open({
        ...(options.server === null ? {} : { binary: options.server.binary }),
        config: {
          databases: DATABASES.toString(),
          'auto-aof-rewrite-percentage': '0',
          'aof-timestamp-enabled': 'yes',
        },
      });
      owned.push(bench);
      const [client, blocking] = [await connect(bench.server), await connect(bench.server)];
      owned.push(client, blocking);
      const workload = new DependencyWorkload(client, blocking, {
        databases: DATABASES,
        ...options.workload,
      });
      // So that the first snapshot holds keys, which a selection must choose from.
      await workload.open();
      await rewriteAof(await bench.server.connect());
      const archiver = await bench.begin({ limits: { rollMaxAgeMs: 150 } });
      const steps = new ExpirySteps(client, workload);
      const seconds = await writeFor(options.seconds, steps, bench, archiver);
      await archiver.stop();
      return new KeyHistory(bench, workload, seconds, owned);
    } catch (cause) {
      await disposeAll(owned);
      throw cause;
    }
  }

  /** Works on what is stored. */
  async read<T>(work: (environment: RestoreEnvironment) => Promise<T>): Promise<T> {
    const { store, keys } = this.bench;
    return this.bench.withCatalog((catalog) =>
      work({
        ...{ store, keys, catalog, clock: systemClock, random: systemRandom },
        stateDir: join(this.bench.stateDir(), 'restores'),
        signal: new AbortController().signal,
        original: null,
        onProgress: () => undefined,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeAll([...this.#owned]);
  }
}

/** What was held at the end of a second, or the selected part of it, in a frozen server. */
export function scratchAt(
  second: number,
  environment: RestoreEnvironment,
  selector: SelectorSpec | null = null,
): Promise<ScratchServer> {
  const point = { kind: 'second', second } as const;
  return restoreIntoScratch({ instance: INSTANCE, point, selector }, environment);
}

/** Restores the selected keys of a second, and nothing else, into a server of its own. */
export async function restoreKeys(
  second: number,
  selector: SelectorSpec,
  target: RedisServer,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const point = { kind: 'second', second } as const;
  return restore(restoreRequest(target.port, { instance: INSTANCE, point, selector }), environment);
}

/** A connection over the unix socket. */
export function connect(server: RedisServer): Promise<NodeClient> {
  return connectNode({ host: '127.0.0.1', port: server.port, path: server.socketPath });
}

/**
 * Steps of a workload on a server that deletes what has expired in the first half of each second
 * alone: keys that die in the second half are still held at its end, as some are on any server.
 */
class ExpirySteps {
  readonly #client: NodeClient;
  readonly #workload: DependencyWorkload;
  #deletes = true;

  constructor(client: NodeClient, workload: DependencyWorkload) {
    this.#client = client;
    this.#workload = workload;
  }

  async step(): Promise<void> {
    await this.deleteExpired(Date.now() % 1000 < 500);
    await this.#workload.step();
  }

  async deleteExpired(deletes: boolean): Promise<void> {
    if (deletes === this.#deletes) return;
    await this.#client.call('DEBUG', 'SET-ACTIVE-EXPIRE', deletes ? 1 : 0);
    this.#deletes = deletes;
  }
}

async function writeFor(
  seconds: number,
  steps: ExpirySteps,
  bench: ArchiverBench,
  archiver: RunningArchiver,
): Promise<readonly number[]> {
  const from = Math.floor(Date.now() / 1000) + 1;
  const until = from + seconds;
  while (Date.now() < until * 1000) {
    await steps.step();
    await systemClock.sleep(STEP_PAUSE_MS);
  }
  const deadline = performance.now() + PROVEN_MS_MAX;
  for (;;) {
    await steps.step(); // the next second begins with its next write
    await archiver.ask('roll');
    const windows = await bench.withCatalog((catalog) => catalog.windows(INSTANCE));
    if ((windows.latest ?? 0) >= until - 1) break;
    if (performance.now() > deadline) throw new Error(`not proven: ${JSON.stringify(windows)}`);
    await systemClock.sleep(50);
  }
  await steps.deleteExpired(true);
  return Array.from({ length: seconds }, (_, i) => from + i);
}

async function disposeAll(owned: AsyncDisposable[]): Promise<void> {
  for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
}
