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
/** A digest is read this many milliseconds after the second, before anything new is deleted. */
const AFTER_END_MS = 2;
const SCAN_ALL = 1_000_000;

/** Writes for the first part of a second and reads the dataset at its end. */
export class SecondRecorder {
  readonly #client: Redis;
  readonly #databases: number;
  readonly #recorded: RecordedSecond[] = [];
  /** Seconds in whose quiet part a key expired, or that were over before they were read. */
  missed = 0;

  constructor(client: Redis, databases: number) {
    this.#client = client;
    this.#databases = databases;
  }

  get recorded(): readonly RecordedSecond[] {
    return this.#recorded;
  }

  /** Runs the workload until so many seconds are recorded. */
  async record(workload: Workload, seconds: number, secondsMax = 3 * seconds): Promise<void> {
    const wanted = this.#recorded.length + seconds;
    for (let tried = 0; this.#recorded.length < wanted; tried++) {
      if (tried === secondsMax) {
        throw new Error(`only ${this.#recorded.length} of ${wanted} seconds could be recorded`);
      }
      await this.recordOne(workload);
    }
  }

  /** Writes and records one second, if it can be; waits until it is over. */
  async recordOne(workload: Workload): Promise<RecordedSecond | null> {
    while (Date.now() % 1000 < WRITE_UNTIL_MS) await workload.step();
    const read = await this.#readEnd();
    if (read === null) this.missed += 1;
    else this.#recorded.push(read);
    return read;
  }

  /**
   * The dataset at the end of the present second: read before it, and known to be the same after
   * it. Nothing may be written meanwhile; keys that expired are deleted first, by visiting them.
   */
  async #readEnd(): Promise<RecordedSecond | null> {
    const { second } = await this.#time();
    await this.#visitAll();
    const oracle = await readOracle(this.#client);
    const before = await this.#time();
    if (before.second !== second) return null;
    await delay(1_000 + AFTER_END_MS - before.micros / 1000);
    const after = await this.#time();
    const digest = String(await this.#client.call('DEBUG', 'DIGEST'));
    return after.second === second + 1 && digest === oracle.digest ? { second, oracle } : null;
  }

  async #visitAll(): Promise<void> {
    const pipeline = this.#client.pipeline();
    for (let db = 0; db < this.#databases; db++) {
      pipeline.select(db).scan(0, 'COUNT', SCAN_ALL);
    }
    await pipeline.exec();
  }

  async #time(): Promise<{ readonly second: number; readonly micros: number }> {
    const [second = 0, micros = 0] = (await this.#client.time()).map(Number);
    return { second, micros };
  }
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
  const found = await readOracle(client);
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
