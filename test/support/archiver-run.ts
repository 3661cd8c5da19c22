import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createInstance,
  openCatalog,
  readWriterLog,
  type Catalog,
  type WriterEvent,
} from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { createKeyRing, openKeys, type KeyProviders } from '@tidemark/crypto';
import { openFileStore, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { Archiver, controlSocketPath } from '../../services/archiver/src/archiver.ts';
import type { CaptureLimits } from '../../services/archiver/src/capture/capture-options.ts';
import type { CaptureStatus } from '../../services/archiver/src/capture/capture-status.ts';
import { callArchiver } from '../../services/archiver/src/control/control-client.ts';
import type { ArchiverFleet } from '../../services/archiver/src/fleet/fleet-captures.ts';
import type { Logger } from '../../services/archiver/src/logger.ts';
import type { ArchiverMetrics } from '../../services/archiver/src/metrics/archiver-metrics.ts';
import type { InstanceTarget, UnreadInstance } from '../../services/archiver/src/open-capture.ts';
import { manifestOf } from './aof-writer.ts';
import { FaultyStore } from './faulty-store.ts';
import { GuardedKms, refuseOpening, testKeys, type TestKeys } from './kms-server.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from './redis-server.ts';
import { storedCommandsOf } from './stored-commands.ts';
import { TempDir } from './temp-dir.ts';

export const INSTANCE = 'orders';

/** Segments are rolled only when a test says so. */
const LIMITS: CaptureLimits = {
  rollMaxAgeMs: 600_000,
  rollMaxBytes: 8 * 1024 * 1024,
  heartbeatMs: 20_000,
  pinBytesMax: 1 << 30,
  pinAgeMaxMs: 3_600_000,
  requestRewrites: true,
};

/** How a test wants its archiver. */
export interface StartOptions {
  readonly limits?: Partial<CaptureLimits>;
  readonly takeOver?: boolean;
  /** Name of the state folder; another one is another spool, and another owner. */
  readonly state?: string;
  readonly spoolBytesMax?: number;
  readonly clock?: Clock;
  /** Counts what it does. */
  readonly metrics?: ArchiverMetrics;
  readonly instances?: readonly (InstanceTarget | UnreadInstance)[];
  readonly fleet?: ArchiverFleet;
}

/** Through what the server is captured. */
export type CaptureOf = 'aof' | 'psync';

/** How a test wants its bench. */
export interface BenchOptions extends StartRedisOptions {
  readonly keys?: TestKeys;
  readonly store?: ObjectStore;
  readonly source?: CaptureOf;
}

/** An archiver that runs in this process. */
export interface RunningArchiver {
  readonly done: Promise<void>;
  /** As SIGTERM does: resolves when it has ended, or rejects with what it ended in. */
  stop(): Promise<void>;
  status(instance?: string): Promise<CaptureStatus>;
  ask(
    method: 'backup' | 'roll' | 'attach' | 'detach' | 'rekey' | 'policy',
    instance?: string,
    more?: { readonly mode?: 'automated' | 'manual' },
  ): Promise<unknown>;
  /** Waits for a line of its log. */
  until(message: string): Promise<void>;
  readonly messages: readonly string[];
  /** What it says of its captures, without its socket. */
  captures(): readonly CaptureStatus[];
}

/** A real server, a file store, a key ring, and as many archivers as a test starts. */
export class ArchiverBench implements AsyncDisposable {
  readonly server: RedisServer;
  readonly store: FaultyStore;
  /** Keys of whoever restores. */
  readonly keys: KeyProviders;
  /** The key service behind a proxy that refuses the archivers to open data keys; null with a ring. */
  readonly kms: GuardedKms | null;
  readonly #ownsKms: boolean;
  readonly #source: CaptureOf;
  /** How the default user logs in: with `requirepass`, where a test has set that. */
  readonly login: { readonly password?: string };
  readonly #archiverKeys: KeyProviders;
  readonly #temp: TempDir;
  readonly #archivers: RunningArchiver[] = [];

  private constructor(
    temp: TempDir,
    parts: {
      readonly server: RedisServer;
      readonly store: FaultyStore;
      readonly source: CaptureOf;
      readonly login: { readonly password?: string };
    },
    keys: BenchKeys,
  ) {
    this.#temp = temp;
    this.server = parts.server;
    this.store = parts.store;
    this.#source = parts.source;
    this.login = parts.login;
    this.keys = keys.all;
    this.#archiverKeys = keys.archiver;
    this.kms = keys.kms;
    this.#ownsKms = keys.ownsKms;
  }

  /** @param options - `keys`: who wraps data keys; default as `TIDEMARK_TEST_KEYS` says, or a ring.
   *   `store`: default a folder. `source`: default the append-only files; by replication they are off. */
  static async open(options: BenchOptions = {}): Promise<ArchiverBench> {
    const temp = await TempDir.create();
    const source = options.source ?? 'aof';
    const stamps = source === 'aof' ? { 'aof-timestamp-enabled': 'no' } : {};
    const config = { ...stamps, save: '', ...options.config };
    const server = await startRedis({ aof: source === 'aof', ...options, config });
    const random = systemRandom;
    const keys = await openBenchKeys(join(temp.path, 'ring'), options.keys ?? testKeys());
    const folder = { root: join(temp.path, 'store'), random, durable: false };
    const store = options.store ?? (await openFileStore(folder));
    const { requirepass } = config as { readonly requirepass?: unknown };
    const login = typeof requirepass === 'string' ? { password: requirepass } : {};
    const parts = { server, store: new FaultyStore(store), source, login };
    const bench = new ArchiverBench(temp, parts, keys);
    await bench.register(INSTANCE);
    return bench;
  }

  /** Puts an instance on record. */
  async register(iid: string): Promise<void> {
    const logKey = await this.keys.logKey(iid);
    const [clock, random] = [systemClock, systemRandom];
    const ports = { store: this.store, iid, logKey, clock, random };
    await createInstance({ ...ports, name: iid, createdMs: clock.nowMs() });
  }

  target(id: string = INSTANCE): InstanceTarget {
    const address = { host: '127.0.0.1', port: this.server.port, ...this.login };
    if (this.#source === 'psync') return { id, address };
    // Before 7.0 there is no folder: the file lies in the folder of the server.
    const { aofDir, dir } = this.server;
    return { id, address, aofDir: existsSync(aofDir) ? aofDir : dir };
  }

  /** Everything that the product writes: store, key ring, state folders. The server has its own. */
  get dir(): string {
    return this.#temp.path;
  }

  stateDir(name = 'state'): string {
    return join(this.#temp.path, name);
  }

  start(options: StartOptions = {}): RunningArchiver {
    const stateDir = this.stateDir(options.state);
    const messages: string[] = [];
    const logger = collectingLogger(messages);
    const target = this.target();
    const archiver = new Archiver({
      stateDir,
      spoolBytesMax: options.spoolBytesMax ?? 1 << 30,
      limits: { ...LIMITS, ...options.limits },
      takeOver: options.takeOver ?? false,
      instances: options.instances ?? [target],
      findInstance: (id) => Promise.resolve(id === INSTANCE ? target : null),
      store: options.metrics?.store(this.store) ?? this.store,
      keys: options.metrics?.keys(this.#archiverKeys) ?? this.#archiverKeys,
      onEvent: (instance, event) => options.metrics?.note(instance, event),
      clock: options.clock ?? systemClock,
      random: systemRandom,
      logger,
      ...(options.fleet && { fleet: options.fleet }),
    });
    const abort = new AbortController();
    const done = archiver.run(abort.signal);
    done.catch(() => undefined); // a test looks at it when it wants to
    const socketPath = controlSocketPath(stateDir);
    const call: RunningArchiver['ask'] = (method, instance = INSTANCE, more = {}) =>
      callArchiver({ socketPath, timeoutMs: 20_000 }, method, instance, more);
    const running: RunningArchiver = {
      done,
      messages,
      captures: () => archiver.status(),
      ask: call,
      async stop() {
        abort.abort(new Error('the test stops'));
        await done;
      },
      async status(instance = INSTANCE) {
        const answer = await callArchiver({ socketPath, timeoutMs: 2_000 }, 'status', null);
        const { captures } = answer as { readonly captures: readonly CaptureStatus[] };
        return captures.find((one) => one.instance === instance)!;
      },
      async until(message) {
        await Promise.race([waitFor(() => messages.includes(message)), done.then(neverMore)]);
      },
    };
    this.#archivers.push(running);
    return running;
  }

  /** Starts one and waits until it has caught up and its first snapshot is stored. */
  async begin(options: StartOptions = {}): Promise<RunningArchiver> {
    const archiver = this.start(options);
    await archiver.until('caught-up');
    await waitFor(async () => (await this.events('SnapshotStored')).length > 0);
    return archiver;
  }

  /** The events of the writer log with these types, or all. */
  async events(...types: readonly WriterEvent['type'][]): Promise<WriterEvent[]> {
    const all: WriterEvent[] = [];
    const logKey = await this.keys.logKey(INSTANCE);
    for (const { shard, writer } of await this.withCatalog((catalog) =>
      catalog.writers(INSTANCE),
    )) {
      const source = { store: this.store, iid: INSTANCE, shard, writer, logKey };
      for await (const batch of readWriterLog(source, {})) {
        all.push(...batch.map(({ event }) => event));
      }
    }
    return types.length === 0 ? all : all.filter(({ type }) => types.includes(type));
  }

  /** The command bytes that the store holds of the newest timeline, from its offset 0 on. */
  async storedCommands(): Promise<Buffer> {
    const stored = { instance: INSTANCE, store: this.store, keys: this.keys };
    return this.withCatalog((catalog) => storedCommandsOf({ ...stored, catalog }));
  }

  /** What the server has in its newest INCR file; there are no annotations in it. */
  async serverCommands(): Promise<Buffer> {
    const { incr } = manifestOf(this.server);
    return readFile(join(this.server.aofDir, incr.at(-1)!.name));
  }

  /** Works with a catalog that holds all that is stored. */
  async withCatalog<T>(work: (catalog: Catalog) => T | Promise<T>): Promise<T> {
    const catalog = openCatalog({ path: join(this.#temp.path, 'catalog.db') });
    try {
      const logKey = await this.keys.logKey(INSTANCE);
      const options = { store: this.store, logKey: () => Promise.resolve(logKey) };
      await catalog.sync({ ...options, instances: [INSTANCE] });
      return await work(catalog);
    } finally {
      catalog.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.store.down = false;
    await Promise.all(this.#archivers.map((archiver) => archiver.stop().catch(() => undefined)));
    await this.server[Symbol.asyncDispose]();
    if (this.#ownsKms) await this.kms?.[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }
}

interface BenchKeys {
  readonly all: KeyProviders;
  readonly archiver: KeyProviders;
  readonly kms: GuardedKms | null;
  readonly ownsKms: boolean;
}

async function openBenchKeys(ringDir: string, kind: TestKeys): Promise<BenchKeys> {
  const ports = { random: systemRandom, clock: systemClock };
  (await createKeyRing({ dir: ringDir, ...ports })).close();
  if (kind === 'ring') {
    const all = await openKeys({ provider: 'ring', ringDir }, ports);
    return { all, archiver: all, kms: null, ownsKms: false };
  }
  const kms = kind === 'kms' ? await GuardedKms.start() : kind;
  refuseOpening(kms.proxy);
  return {
    all: await openKeys(kms.server.settings(ringDir, kms.keyId), ports),
    archiver: await openKeys(kms.server.settings(ringDir, kms.keyId, kms.proxy.url), ports),
    kms,
    ownsKms: kind === 'kms',
  };
}

/** Waits until something holds, a minute at most. */
export async function waitFor(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`did not come true: ${holds.toString()}`);
    await systemClock.sleep(10);
  }
}

function neverMore(): never {
  throw new Error('the archiver has ended');
}

function collectingLogger(messages: string[]): Logger {
  const take = (message: string): void => void messages.push(message);
  const logger: Logger = { info: take, warn: take, error: take, child: () => logger };
  return logger;
}
