import { connectNode, type NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import type { TestKeys } from './kms-server.ts';
import { diffRestored, SecondRecorder, type RecordedSecond } from './recorded-seconds.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from './redis-server.ts';
import { iso, Tidemark, type RestoreDocument } from './tidemark-cli.ts';
import { Workload, type WorkloadOptions } from './workload.ts';

/** Databases of sources and targets. */
export const DATABASES = 16;

/** Id under which the source is protected. */
export const INSTANCE = 'orders';

/** What a scenario is started with. */
export interface ScenarioOptions {
  readonly workload: WorkloadOptions;
  /** Settings of the source. */
  readonly config?: StartRedisOptions['config'];
  /** Who wraps data keys; default as `TIDEMARK_TEST_KEYS` says, or a ring. */
  readonly keys?: TestKeys;
  /** Captured by replication; its append-only file is off then. Default false. */
  readonly psync?: boolean;
  /** Further arguments of `init`, e.g. a store. */
  readonly init?: readonly string[];
}

/**
 * A source with a workload, a configuration that protects it, and a target for restores. The
 * archiver is up to the test. Disposing ends every process.
 */
export class Scenario implements AsyncDisposable {
  readonly #owned: AsyncDisposable[];
  readonly tidemark: Tidemark;
  readonly source: RedisServer;
  readonly target: RedisServer;
  readonly redis: Redis;
  readonly targetRedis: Redis;
  readonly workload: Workload;
  readonly recorder: SecondRecorder;

  private constructor(
    owned: AsyncDisposable[],
    parts: Pick<Scenario, 'tidemark' | 'source' | 'target' | 'redis' | 'targetRedis'>,
    workload: Workload,
  ) {
    this.#owned = owned;
    this.tidemark = parts.tidemark;
    this.source = parts.source;
    this.target = parts.target;
    this.redis = parts.redis;
    this.targetRedis = parts.targetRedis;
    this.workload = workload;
    this.recorder = new SecondRecorder(parts.redis, DATABASES);
  }

  /** Starts source and target, runs `init` and `instance add`. */
  static async start(options: ScenarioOptions): Promise<Scenario> {
    const owned: AsyncDisposable[] = [];
    const own = <T extends AsyncDisposable>(part: T): T => {
      owned.push(part);
      return part;
    };
    try {
      const databases = DATABASES.toString();
      const tidemark = own(await Tidemark.init(options.init ?? [], '', options.keys));
      const { psync = false } = options;
      const config = { databases, ...options.config };
      const source = own(await startRedis({ aof: !psync, config }));
      const target = own(await startRedis({ aof: false, config: { databases } }));
      const [writing, blocking] = [own(await nodeOf(source)), own(await nodeOf(source))];
      const [redis, targetRedis] = [await source.connect(), await target.connect()];
      if (psync) await tidemark.addByReplication(INSTANCE, source);
      else await tidemark.add(INSTANCE, source);
      const workload = new Workload(writing, blocking, options.workload);
      return new Scenario(owned, { tidemark, source, target, redis, targetRedis }, workload);
    } catch (error) {
      await disposeAll(owned);
      throw error;
    }
  }

  /** Restores a recorded second into the target and holds it against what was recorded. */
  async expectRestored(wanted: RecordedSecond): Promise<RestoreDocument> {
    const { tidemark, target, targetRedis } = this;
    const document = await tidemark.restore(INSTANCE, wanted.second, target);
    const differences = await diffRestored(wanted.oracle, target, targetRedis);
    expect(differences, `${iso(wanted.second)}, cut ${JSON.stringify(document.cut)}`).toEqual([]);
    expect(document).toMatchObject({ state: 'replayed', at: iso(wanted.second) });
    await this.release();
    return document;
  }

  /** Lets the target take the next restore: a replica is refused. */
  async release(): Promise<void> {
    await this.targetRedis.call('REPLICAOF', 'NO', 'ONE');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeAll(this.#owned);
  }
}

/** A connection for writing, over the unix socket. */
export function nodeOf(server: RedisServer): Promise<NodeClient> {
  return connectNode({ host: '127.0.0.1', port: server.port, path: server.socketPath });
}

async function disposeAll(owned: AsyncDisposable[]): Promise<void> {
  for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
}
