import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HoleReason, Windows } from '@tidemark/archive';
import { connectNode, type NodeClient } from '@tidemark/client';
import type { TidemarkError } from '@tidemark/core';
import {
  dryRun,
  restore,
  type RestoreEnvironment,
  type RestoreReport,
  type RestoreRequest,
} from '@tidemark/restorer';
import type { Redis } from 'ioredis';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect } from 'vitest';
import {
  ArchiverBench,
  INSTANCE,
  type CaptureOf,
  type RunningArchiver,
  type StartOptions,
} from './archiver-run.ts';
import { comparableLog, isLateExpiry } from './lossy-log.ts';
import { diffRestored, SecondRecorder, type RecordedSecond } from './recorded-seconds.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { chooseSeed, Workload } from './workload.ts';
import { restoreRequest } from './restore-request.ts';

const DATABASES = 4;
const PROVEN_MS_MAX = 60_000;
/**
 * Without time stamps in the log only samples tell when a second ended. When this machine is short of
 * time one may come late; the restore then says that its cut is not exact.
 */
const INEXACT = /^the cut (is not|may not be) exact to the second/;
const INEXACT_MAX = 1;
/** Recorded seconds in front of the first sample, as many as a machine short of time may miss. */
const EARLY_MAX = 2;
/** A sample comes between the start of a second and this many milliseconds. */
const WRITE_FROM_MS = 300;
/** The commands of 6.0. */
const OLD_LEVEL = 60_000;

/** How a test wants its node and its archiver. */
export interface LifeOptions {
  /** Settings of the source over the defaults. */
  readonly config?: Readonly<Record<string, string>>;
  readonly archiver?: StartOptions;
  /** Nothing can be linked beside the log, and the server keeps its history. Default false. */
  readonly hold?: boolean;
  /** Program of both servers; default `redis-server` on the PATH. */
  readonly binary?: string;
  /** They are ones before 6.2. Default false. */
  readonly old?: boolean;
  /** The server's own load of its log loses something of streams: see `comparableLog`. Default: as `old`. */
  readonly lossyLog?: boolean;
  /** Through what the node is captured. Default: its append-only files. */
  readonly source?: CaptureOf;
  /** The log has no time stamps: writes wait until a sample came. Default: as `old`, or by replication. */
  readonly unstamped?: boolean;
}

/** What a mishap is to leave behind. */
export interface WantedHistory {
  /** Why timelines were closed, in their order. */
  readonly closed: readonly HoleReason[];
  /**
   * The reasons of the holes that `windows` lists, in their order. Without it there may be some or
   * none, as long as they have a reason for which a timeline was closed.
   */
  readonly holes?: readonly HoleReason[];
}

/**
 * A node, an archiver of this process beside it, and a second server that restores go into: for one
 * mishap of the node. What the node holds is recorded at the end of seconds, and each of them is
 * restored and compared at the end.
 */
export class NodeLife implements AsyncDisposable {
  readonly bench: ArchiverBench;
  readonly recorded: RecordedSecond[] = [];
  readonly #target: RedisServer;
  readonly #options: LifeOptions;
  readonly #seed = chooseSeed('node life');
  #inexact = 0;
  #archiver: RunningArchiver | null = null;
  #clients: NodeClient[] = [];

  private constructor(bench: ArchiverBench, target: RedisServer, options: LifeOptions) {
    this.bench = bench;
    this.#target = target;
    this.#options = options;
  }

  /** Starts the node and its archiver, which has caught up and stored a snapshot then. */
  static async start(options: LifeOptions = {}): Promise<NodeLife> {
    const databases = DATABASES.toString();
    const config = {
      databases,
      ...(options.source === 'psync'
        ? {}
        : { 'auto-aof-rewrite-percentage': '0', 'aof-timestamp-enabled': 'yes' }),
      ...options.config,
    };
    const program = options.binary === undefined ? {} : { binary: options.binary };
    const target = await startRedis({ ...program, aof: false, config: { databases } });
    const { source = 'aof' } = options;
    const bench = await ArchiverBench.open({ ...program, source, config }).catch(
      async (cause: unknown) => {
        await target[Symbol.asyncDispose]();
        throw cause;
      },
    );
    const life = new NodeLife(bench, target, options);
    if (options.hold === true)
      await writeFile(join(life.server.dir, '.tidemark-pins'), 'in the way');
    await life.attach();
    return life;
  }

  /** The node. */
  get server(): RedisServer {
    return this.bench.server;
  }

  get archiver(): RunningArchiver {
    if (this.#archiver === null) throw new Error('no archiver runs');
    return this.#archiver;
  }

  /** Starts the archiver and waits until it has caught up with a snapshot at hand. */
  async attach(options: StartOptions = {}): Promise<void> {
    const limits = { rollMaxAgeMs: 100, ...this.#options.archiver?.limits, ...options.limits };
    const instances = [{ ...this.bench.target(), hold: this.#options.hold ?? false }];
    this.#archiver = await this.bench.begin({
      ...{ instances, ...this.#options.archiver, ...options, limits },
    });
  }

  /** Stops the archiver, as SIGTERM does. */
  async leave(): Promise<void> {
    // Without time stamps a second ends at the first sample after it.
    if (this.#unstamped) await systemClock.sleep(WRITE_FROM_MS);
    await this.archiver.stop();
    this.#archiver = null;
  }

  /** Writes for so many seconds and records each. */
  async record(seconds = 1, server: RedisServer = this.server): Promise<void> {
    const [writing, blocking] = [await this.#connect(server), await this.#connect(server)];
    const { old = false } = this.#options;
    const recorder = new SecondRecorder(await server.connect(), DATABASES, {
      ...(old ? { old: server } : {}),
      ...(this.#unstamped ? { writeFromMs: WRITE_FROM_MS } : {}),
    });
    const seed = this.#seed + this.recorded.length;
    const workload = new Workload(writing, blocking, {
      ...{ seed, databases: DATABASES, bigOnceIn: 0 },
      ...(old ? { level: OLD_LEVEL, dumps: false } : {}),
    });
    await recorder.record(workload, seconds);
    this.recorded.push(...recorder.recorded);
  }

  /** Asks for a rewrite and waits for its end; whether it went well. */
  async rewrite(): Promise<boolean> {
    await using client = await connectNode({ host: '127.0.0.1', port: this.server.port });
    await client.call('BGREWRITEAOF');
    for (;;) {
      const info = await client.info('persistence');
      if (!info.flag('aof_rewrite_in_progress') && !info.flag('aof_rewrite_scheduled')) {
        return info.get('aof_last_bgrewrite_status') === 'ok';
      }
      await systemClock.sleep(10);
    }
  }

  /** Waits until the archiver follows a new timeline and has stored a snapshot of it. */
  async untilTimeline(number: number): Promise<void> {
    await this.#until(`timeline ${number}`, async () => {
      const events = await this.bench.events('TimelineOpened', 'SnapshotStored');
      const opened = events.filter(({ type }) => type === 'TimelineOpened');
      return opened.length >= number && events.at(-1)?.type === 'SnapshotStored';
    });
  }

  /**
   * Every recorded second is restored equal or lies in a hole with one of the wanted reasons; both
   * sides of each hole are among them.
   */
  async expectHistory(wanted: WantedHistory): Promise<Windows> {
    const windows = await this.#provenWindows();
    const closed = await this.bench.events('TimelineClosed');
    const said = JSON.stringify(windows);
    const why = closed.map((event) => event.type === 'TimelineClosed' && event.reason);
    expect(why, JSON.stringify(closed.map((event) => 'detail' in event && event.detail))).toEqual(
      wanted.closed,
    );
    const reasons = windows.holes.map(({ reason }) => reason);
    expect(reasons, said).toEqual(wanted.holes ?? reasons);
    for (const reason of reasons) expect(wanted.closed, said).toContain(reason);
    const isIn = ({ from, to }: { from: number; to: number }, second: number): boolean =>
      from <= second && second <= to;
    let earlyOnes = 0;
    for (const one of this.recorded) {
      const inside = windows.ranges.some((range) => isIn(range, one.second));
      if (inside) {
        expect(await this.#differences(one), `${one.second} of ${said}`).toEqual([]);
        continue;
      }
      // A machine that is short of time takes its first sample late: nothing before it is claimed.
      const early = windows.earliest === null || one.second < windows.earliest;
      if (early) earlyOnes += 1;
      expect(
        early || windows.holes.some((hole) => isIn(hole, one.second)),
        `${one.second} of ${said}`,
      ).toBe(true);
      await expect(this.#try(one.second)).rejects.toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE' });
    }
    expect(earlyOnes, said).toBeLessThanOrEqual(EARLY_MAX);
    expect(this.#inexact, said).toBeLessThanOrEqual(INEXACT_MAX);
    for (const range of windows.ranges) {
      const isLate = earlyOnes > 0 && range.from === windows.earliest;
      const seen = isLate || this.recorded.some(({ second }) => isIn(range, second));
      expect(seen, `nothing was recorded in ${JSON.stringify(range)} of ${said}`).toBe(true);
    }
    return windows;
  }

  /**
   * Every recorded second from one on is restored equal, those before it are refused.
   * @returns How many there were of both.
   */
  async expectKeptFrom(
    earliest: number,
  ): Promise<{ readonly kept: number; readonly gone: number }> {
    const kept = this.recorded.filter(({ second }) => second >= earliest);
    const gone = this.recorded.filter(({ second }) => second < earliest);
    for (const one of kept) {
      expect(await this.#differences(one), `${one.second}`).toEqual([]);
    }
    for (const { second } of gone) {
      await expect(this.#try(second)).rejects.toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE' });
    }
    return { kept: kept.length, gone: gone.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
  }

  /** Waits until the last recorded second can be restored, or another one. */
  async untilProven(second?: number): Promise<void> {
    await this.#provenWindows(second);
  }

  /** Restores a second and reads something of what was restored. */
  async restoreAndRead<T>(
    second: number,
    read: (client: Redis) => Promise<T>,
  ): Promise<{ readonly report: RestoreReport; readonly value: T }> {
    const client = await this.#target.connect();
    const report = await this.bench.withCatalog((catalog) =>
      restore(this.#request(second), this.#environment(catalog)),
    );
    const value = await read(client);
    await client.call('REPLICAOF', 'NO', 'ONE');
    client.disconnect();
    return { report, value };
  }

  async #provenWindows(last = this.recorded.at(-1)?.second ?? 0): Promise<Windows> {
    let windows: Windows | null = null;
    await this.#until(`${last} proven`, async () => {
      await this.archiver.ask('roll');
      windows = await this.bench.withCatalog((catalog) => catalog.windows(INSTANCE));
      return (windows.latest ?? 0) >= last;
    });
    return windows as unknown as Windows;
  }

  /** Restores a second into the target and says where it differs from what was recorded. */
  async #differences(wanted: RecordedSecond): Promise<readonly string[]> {
    const { old = false, lossyLog = false } = this.#options;
    const client = await this.#target.connect();
    const report = await this.bench.withCatalog((catalog) =>
      restore(this.#request(wanted.second), this.#environment(catalog)),
    );
    const differences = await diffRestored(wanted.oracle, this.#target, client, {
      ...(old ? { old } : {}),
      ...(old || lossyLog ? { comparable: comparableLog } : {}),
    });
    await client.call('REPLICAOF', 'NO', 'ONE');
    client.disconnect();
    const inexact = report.warnings.some((line) => INEXACT.test(line));
    if (differences.length > 0 && inexact && this.#unstamped) {
      this.#inexact += 1;
      return [];
    }
    return differences.filter((line) => !old || !isLateExpiry(line));
  }

  get #unstamped(): boolean {
    const { old = false, source, unstamped = old || source === 'psync' } = this.#options;
    return unstamped;
  }

  async #try(second: number): Promise<unknown> {
    return this.bench.withCatalog((catalog) =>
      dryRun(this.#request(second), this.#environment(catalog)),
    );
  }

  #request(second: number): RestoreRequest {
    const point = { kind: 'second', second } as const;
    return restoreRequest(this.#target.port, { instance: INSTANCE, point });
  }

  #environment(catalog: RestoreEnvironment['catalog']): RestoreEnvironment {
    const { store, keys } = this.bench;
    return {
      ...{ store, keys, catalog, clock: systemClock, random: systemRandom },
      stateDir: join(this.bench.stateDir(), 'restores'),
      signal: new AbortController().signal,
      original: null,
      onProgress: () => undefined,
    };
  }

  async #connect(server: RedisServer): Promise<NodeClient> {
    const client = await connectNode({ host: '127.0.0.1', port: server.port });
    this.#clients.push(client);
    return client;
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PROVEN_MS_MAX;
    let fault: TidemarkError | null = null;
    while (!(await holds().catch((cause: unknown) => ((fault = cause as TidemarkError), false)))) {
      if (performance.now() > deadline) {
        const status = JSON.stringify(await this.archiver.status());
        throw new Error(`did not come: ${what}; ${status}`, { cause: fault });
      }
      await systemClock.sleep(50);
    }
  }
}
