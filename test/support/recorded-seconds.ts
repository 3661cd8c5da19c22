import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { scanRdbEntries } from '@tidemark/rdb';
import type { Redis } from 'ioredis';
import { diffOracle, printable, readOracle, type KeyFacts, type Oracle } from './oracle.ts';
import type { RedisServer } from './redis-server.ts';
import type { Workload } from './workload.ts';

/** A second of a source and what the source held when it ended. */
export interface RecordedSecond {
  /** Unix seconds. */
  readonly second: number;
  readonly oracle: Oracle;
}

/** Milliseconds into a second at which the writer stops, so that its end can be read. */
const WRITE_UNTIL_MS = 560;
/** Writes are let on this many milliseconds after the second. */
const AFTER_END_MS = 2;
/** The server lets writes on by itself after this time. */
const PAUSE_MS_MAX = 60_000;
/** What PEXPIRETIME says of a key that is not there. */
const GONE = -2;
const SCAN_ALL = 1_000_000;

/** Writes for the first part of a second and reads the dataset at its end. */
export class SecondRecorder {
  readonly #client: Redis;
  readonly #databases: number;
  readonly #recorded: RecordedSecond[] = [];

  constructor(client: Redis, databases: number) {
    this.#client = client;
    this.#databases = databases;
  }

  get recorded(): readonly RecordedSecond[] {
    return this.#recorded;
  }

  /** Runs the workload for so many seconds, each recorded. */
  async record(workload: Workload, seconds: number): Promise<void> {
    for (let done = 0; done < seconds; done++) await this.recordOne(workload);
  }

  /** Writes and records one second; returns when it is over. */
  async recordOne(workload: Workload): Promise<void> {
    while (Date.now() % 1000 < WRITE_UNTIL_MS) await workload.step();
    this.#recorded.push(await this.#readEnd());
  }

  /**
   * The dataset at the end of the present second. From before the end until after it the server is
   * told to hold writes, and with them it deletes no expired key (redis src/db.c, expireIfNeeded; it
   * does hide them). So it may be read at leisure.
   */
  async #readEnd(): Promise<RecordedSecond> {
    await this.#visitAll();
    await this.#client.call('CLIENT', 'PAUSE', PAUSE_MS_MAX, 'WRITE');
    try {
      const [second = 0, micros = 0] = (await this.#client.time()).map(Number);
      const endMs = performance.now() + 1_000 - micros / 1000;
      const oracle = await readAlive(this.#client);
      await delay(Math.max(0, endMs + AFTER_END_MS - performance.now()));
      return { second, oracle };
    } finally {
      await this.#client.call('CLIENT', 'UNPAUSE');
    }
  }

  async #visitAll(): Promise<void> {
    const pipeline = this.#client.pipeline();
    for (let db = 0; db < this.#databases; db++) {
      pipeline.select(db).scan(0, 'COUNT', SCAN_ALL);
    }
    await pipeline.exec();
  }
}

/**
 * The oracle of a server that deletes no expired key. Keys that expire while it is read are left out
 * of the list; their database still counts them.
 */
async function readAlive(client: Redis): Promise<Oracle> {
  // A stream that expires between its type and its content is an error: the next read hides it.
  const oracle = await readOracle(client).catch(() => readOracle(client));
  const databases = [...oracle.databases].map(([db, { dbSize, keys }]) => {
    const alive = [...keys].filter(([, { expiryMs }]) => expiryMs !== GONE);
    return [db, { dbSize, keys: new Map(alive) }] as const;
  });
  return { ...oracle, databases: new Map(databases) };
}

/**
 * Says in words where a restored server that is not promoted differs from what the source held.
 *
 * Keys whose time has come since are hidden by the server though they are there. Their expiry is
 * read from an RDB that the server saves; their values are part of `DEBUG DIGEST`.
 */
export async function diffRestored(
  wanted: Oracle,
  target: RedisServer,
  client: Redis,
): Promise<string[]> {
  const found = await readAlive(client);
  const physical = await readExpiries(target, client);
  const databases = new Map(found.databases);
  for (const [db, { dbSize, keys }] of found.databases) {
    const all = new Map<string, KeyFacts>(keys);
    for (const [key, facts] of wanted.databases.get(db)?.keys ?? []) {
      const expiryMs = physical.get(`${db} ${key}`);
      if (!all.has(key) && expiryMs !== undefined && expiryMs >= 0 && expiryMs <= Date.now()) {
        all.set(key, { ...facts, expiryMs });
      }
    }
    databases.set(db, { dbSize, keys: all });
  }
  const counted = { ...found, databases };
  return diffOracle(withoutGroupCounters(wanted), withoutGroupCounters(counted));
}

/**
 * Leaves out how many entries a group has read, and the lag that follows from it: Redis 7.0 does
 * not log a normal read of them, so its own load of its log loses them too (docs/promises.md).
 */
function withoutGroupCounters(oracle: Oracle): Oracle {
  const databases = [...oracle.databases].map(([db, { dbSize, keys }]) => {
    const without = [...keys].map(([key, facts]) => {
      if (facts.stream === null) return [key, facts] as const;
      const stream = facts.stream.replace(/"(entries-read|lag)":(null|-?\d+),/g, '');
      return [key, { ...facts, stream }] as const;
    });
    return [db, { dbSize, keys: new Map(without) }] as const;
  });
  return { ...oracle, databases: new Map(databases) };
}

/** Expiry of every key that is physically there, by `<db> <key>`; -1 = none. */
async function readExpiries(target: RedisServer, client: Redis): Promise<Map<string, number>> {
  await client.call('SAVE');
  const [, name] = await client.config('GET', 'dbfilename');
  const expiries = new Map<string, number>();
  for await (const entries of scanRdbEntries(createReadStream(join(target.dir, name ?? '')))) {
    for (const { db, key, expiryMs } of entries) {
      expiries.set(`${db} ${printable(key)}`, expiryMs ?? -1);
    }
  }
  return expiries;
}
