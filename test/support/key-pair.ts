import { connectNode, type NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import {
  compareSelected,
  type CompareSelectedOptions,
} from '../../services/restorer/src/write-back/compare/compare-selected.ts';
import type {
  KeyDifference,
  Outcome,
} from '../../services/restorer/src/write-back/key-difference.ts';
import { NO_THROTTLE } from '../../services/restorer/src/write-back/throttle/throttle.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from './redis-server.ts';

/** What a comparison said: keys by what became of them, as `db:key`. */
export interface Verdict {
  readonly same: number;
  readonly keys: Readonly<Partial<Record<Outcome, readonly string[]>>>;
  readonly differences: readonly KeyDifference[];
}

/** Selects every key. */
export const EVERY_KEY: CompareSelectedOptions['selector'] = {
  hasTypes: false,
  literals: null,
  matches: () => true,
  matchesDb: () => true,
  matchesType: () => true,
};

/** A server that holds what was and one that holds what is, each with a connection of the test. */
export class KeyPair implements AsyncDisposable {
  readonly servers: readonly [RedisServer, RedisServer];
  readonly then: Redis;
  readonly live: Redis;
  readonly clients: { readonly then: NodeClient; readonly live: NodeClient };

  private constructor(parts: Pick<KeyPair, 'servers' | 'then' | 'live' | 'clients'>) {
    this.servers = parts.servers;
    this.then = parts.then;
    this.live = parts.live;
    this.clients = parts.clients;
  }

  static async start(then: StartRedisOptions, live: StartRedisOptions): Promise<KeyPair> {
    const servers = [
      await startRedis({ aof: false, ...then }),
      await startRedis({ aof: false, ...live }),
    ] as const;
    const client = ({ socketPath }: RedisServer): Promise<NodeClient> =>
      connectNode({ host: 'localhost', port: 0, path: socketPath }, { replyTimeoutMs: 0 });
    return new KeyPair({
      servers,
      then: await servers[0].connect(),
      live: await servers[1].connect(),
      clients: { then: await client(servers[0]), live: await client(servers[1]) },
    });
  }

  /** Runs the same on both. */
  async both(work: (redis: Redis, which: 'then' | 'live') => Promise<unknown>): Promise<void> {
    await work(this.then, 'then');
    await work(this.live, 'live');
  }

  async empty(): Promise<void> {
    await this.both(async (redis) => {
      await redis.flushall();
      await redis.select(0);
    });
  }

  async compare(options: Partial<CompareSelectedOptions> = {}): Promise<Verdict> {
    const { signal } = new AbortController();
    let same = 0;
    const differences: KeyDifference[] = [];
    const found = compareSelected(this.clients, {
      selector: EVERY_KEY,
      throttle: NO_THROTTLE,
      signal,
      nowMs: Date.now,
      onSame: (count) => (same += count),
      ...options,
    });
    for await (const batch of found) differences.push(...batch);
    const keys: Partial<Record<Outcome, string[]>> = {};
    for (const { db, key, outcome } of differences) {
      (keys[outcome] ??= []).push(`${db}:${key.toString('latin1')}`);
    }
    for (const names of Object.values(keys)) names.sort();
    return { same, keys, differences };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clients.then.close();
    await this.clients.live.close();
    for (const server of this.servers) await server[Symbol.asyncDispose]();
  }
}
