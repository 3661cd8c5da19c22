import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { scanRdbEntries } from '@tidemark/rdb';
import type { Redis } from 'ioredis';
import { diffOracle, printable, readOracle, type KeyFacts, type Oracle } from './oracle.ts';
import type { RedisServer } from './redis-server.ts';

/** A second of a source and what the source held when it ended. */
export interface RecordedSecond {
  /** Unix seconds. */
  readonly second: number;
  readonly oracle: Oracle;
}

/** Milliseconds into a second at which the writer stops, so that its end can be read. */
const WRITE_UNTIL_MS = 560;
/** With a server that deletes expired keys while it is read, it stops earlier, */
const OLD_WRITE_UNTIL_MS = 450;
/** and the read begins when everything has expired that this second lets expire. */
const OLD_READ_FROM_MS = 660;
/** In the next second keys expire again from a quarter on. */
const OLD_READ_TO_MS = 200;
/** So many times as many seconds may be lost to a busy machine. */
const TRIES_MAX = 12;
/** Writes are let on this many milliseconds after the second. */
const AFTER_END_MS = 2;
/** The server lets writes on by itself after this time. */
const PAUSE_MS_MAX = 60_000;
/** What PEXPIRETIME says of a key that is not there. */
const GONE = -2;
const SCAN_ALL = 1_000_000;
/** How often a target is read that differs. */
const READS_MAX = 3;

/** What writes, one batch at a time. */
export interface Steps {
  /** Everything it sent has been answered when it resolves. */
  step(): Promise<void>;
}

/** How seconds are recorded. */
export interface RecorderOptions {
  /** Milliseconds into a second before which nothing is written. Default 0. */
  readonly writeFromMs?: number;
  /**
   * A server before 6.2: CLIENT PAUSE would hold the reader too, and nobody tells when a key
   * expires. Its active expiry is switched off instead, and expiries are read from an RDB.
   */
  readonly old?: RedisServer;
  /** Fields of hashes and members of sorted sets are recorded too. */
  readonly hashes?: boolean;
}

/** How a restored server is held against what was recorded. */
export interface DiffOptions {
  /** A server before 6.2. */
  readonly old?: boolean;
  /** Fields and members were recorded. */
  readonly hashes?: boolean;
  /** A restored expiry may be so many milliseconds later than the source's. Default 0. */
  readonly laterMs?: number;
  /** Or so many earlier. Default 0. */
  readonly earlierMs?: number;
  /** What of both is compared. Default: all but the counters of groups. */
  readonly comparable?: (oracle: Oracle) => Oracle;
}

/** Writes for the first part of a second and reads the dataset at its end. */
export class SecondRecorder {
  readonly #client: Redis;
  readonly #databases: number;
  readonly #options: RecorderOptions;
  readonly #recorded: RecordedSecond[] = [];

  constructor(client: Redis, databases: number, options: RecorderOptions = {}) {
    this.#client = client;
    this.#databases = databases;
    this.#options = options;
  }

  get recorded(): readonly RecordedSecond[] {
    return this.#recorded;
  }

  /** Runs the workload for so many seconds, each recorded. */
  async record(workload: Steps, seconds: number): Promise<void> {
    const wanted = this.#recorded.length + seconds;
    for (let tries = 0; this.#recorded.length < wanted; tries++) {
      if (tries >= seconds * TRIES_MAX) throw new Error('seconds pass before they can be read');
      await this.recordOne(workload);
    }
  }

  /** Writes and records one second, if it can be read in time; returns when it is over. */
  async recordOne(workload: Steps): Promise<void> {
    const { writeFromMs = 0, old } = this.#options;
    const untilMs = old === undefined ? WRITE_UNTIL_MS : OLD_WRITE_UNTIL_MS;
    // A second whose time for writing has passed is left out.
    while (Date.now() % 1000 >= untilMs) await delay(5);
    while (Date.now() % 1000 < writeFromMs) await delay(5);
    const began = Math.floor(Date.now() / 1000);
    while (Date.now() % 1000 < untilMs) await workload.step();
    if (old === undefined) {
      this.#recorded.push(await this.#readEnd());
      return;
    }
    // Only what was read while nothing could expire is what the server held at the end.
    if (Date.now() > began * 1000 + OLD_READ_FROM_MS) return;
    await delay(began * 1000 + OLD_READ_FROM_MS - Date.now());
    const recorded = await this.#readEnd();
    // Nobody writes until the next second: what expired while it was read went with the reading.
    const still = String(await this.#client.call('DEBUG', 'DIGEST')) === recorded.oracle.digest;
    const inTime = Date.now() < (began + 1) * 1000 + OLD_READ_TO_MS;
    if (still && inTime && recorded.second === began) this.#recorded.push(recorded);
  }

  /**
   * The dataset at the end of the present second. From before the end until after it the server is
   * told to hold writes, and with them it deletes no expired key (redis src/db.c, expireIfNeeded; it
   * does hide them). So it may be read at leisure.
   */
  async #readEnd(): Promise<RecordedSecond> {
    const { old } = this.#options;
    if (old !== undefined) await this.#client.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
    await this.#visitAll();
    if (old === undefined) await this.#client.call('CLIENT', 'PAUSE', PAUSE_MS_MAX, 'WRITE');
    try {
      const [second = 0, micros = 0] = (await this.#client.time()).map(Number);
      const endMs = performance.now() + 1_000 - micros / 1000;
      const oracle = await readAlive(this.#client, this.#options);
      await delay(Math.max(0, endMs + AFTER_END_MS - performance.now()));
      return { second, oracle };
    } finally {
      if (old === undefined) await this.#client.call('CLIENT', 'UNPAUSE');
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
async function readAlive(client: Redis, options: RecorderOptions = {}): Promise<Oracle> {
  const { old } = options;
  // A stream that expires between its type and its content is an error: the next read hides it.
  const oracle = await readOracle(client, options).catch(() => readOracle(client, options));
  const expiries = old === undefined ? null : await readExpiries(old, client);
  const databases = [...oracle.databases].map(([db, { dbSize, keys }]) => {
    const alive = [...keys]
      .filter(([, { expiryMs }]) => expiryMs !== GONE)
      .map(([key, facts]): [string, KeyFacts] => {
        const expiryMs = expiries?.get(`${db} ${key}`) ?? facts.expiryMs;
        return [key, { ...facts, expiryMs }];
      });
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
  options: DiffOptions = {},
): Promise<string[]> {
  for (let reads = 1; ; reads++) {
    // What expires while it is read looks half gone; the next time it is hidden.
    const differences = await diffRead(wanted, target, client, options);
    if (differences.length === 0 || reads === READS_MAX) return differences;
  }
}

async function diffRead(
  wanted: Oracle,
  target: RedisServer,
  client: Redis,
  options: DiffOptions,
): Promise<string[]> {
  const { hashes = false, comparable = withoutGroupCounters } = options;
  const { laterMs = 0, earlierMs = 0 } = options;
  const found = await readAlive(client, {
    hashes,
    ...(options.old === true ? { old: target } : {}),
  });
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
    for (const [key, facts] of all) {
      const expiryMs = wanted.databases.get(db)?.keys.get(key)?.expiryMs ?? -1;
      const byMs = facts.expiryMs - expiryMs;
      if (expiryMs >= 0 && byMs !== 0 && byMs <= laterMs && byMs >= -earlierMs) {
        all.set(key, { ...facts, expiryMs });
      }
    }
  }
  const counted = { ...found, databases };
  const nowMs = Date.now();
  const alike = (oracle: Oracle): Oracle => comparable(withoutDueFields(oracle, nowMs));
  return diffOracle(alike(wanted), alike(counted));
}

/** Leaves out fields whose time has come: servers hide them at once, and delete them when they like. */
function withoutDueFields(oracle: Oracle, nowMs: number): Oracle {
  return mapKeys(oracle, (facts) => {
    if (facts.type !== 'hash') return facts;
    const due = (time: number): boolean => time >= 0 && time <= nowMs;
    const times = JSON.parse(facts.fieldExpiry ?? '[]') as [string, number][];
    const left = times.filter(([, time]) => !due(time));
    return {
      ...facts,
      fieldExpiry: left.length === 0 ? null : JSON.stringify(left),
      fields: facts.fields?.filter(([, time]) => !due(time)) ?? null,
    };
  });
}

/** The oracle with the facts of each key changed. */
export function mapKeys(oracle: Oracle, change: (facts: KeyFacts) => KeyFacts): Oracle {
  const databases = [...oracle.databases].map(([db, { dbSize, keys }]) => {
    const changed = [...keys].map(([key, facts]) => [key, change(facts)] as const);
    return [db, { dbSize, keys: new Map(changed) }] as const;
  });
  return { ...oracle, databases: new Map(databases) };
}

/**
 * Leaves out how many entries a group has read, and the lag that follows from it: Redis 7.0 does
 * not log a normal read of them, so its own load of its log loses them too (docs/promises.md).
 */
export function withoutGroupCounters(oracle: Oracle): Oracle {
  return mapKeys(oracle, (facts) => {
    const stream = facts.stream?.replace(/"(entries-read|lag)":(null|-?\d+),/g, '') ?? null;
    return { ...facts, stream };
  });
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
