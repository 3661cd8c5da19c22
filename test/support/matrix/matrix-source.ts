import { openCatalog, type Catalog } from '@tidemark/catalog';
import type { NodeClient } from '@tidemark/client';
import { restore } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { rewriteAof } from '../aof-source.ts';
import { ArchiverBench, INSTANCE, type CaptureOf } from '../archiver-run.ts';
import { diffRestored, SecondRecorder, type RecordedSecond } from '../recorded-seconds.ts';
import { nodeOf } from '../scenario.ts';
import type { RedisServer } from '../redis-server.ts';
import type { ServerBinary } from '../servers.ts';
import { Workload } from '../workload.ts';
import { comparableOf } from './comparable.ts';
import { capabilitiesOf, type Capabilities, type Dataset } from './matrix-server.ts';
import { writeTypeComplete, type TypeOptions } from './type-complete.ts';
import { restoreRequest } from '../restore-request.ts';

const SECONDS = 5;
/** Everything is written from so many milliseconds of a second on: a sample came before. */
const WRITE_FROM_MS = 300;
/** The last second must be proven within this time. */
const PROVEN_MS_MAX = 60_000;
/** Before 7.0 an expiry is counted from the time at which it is logged (docs/promises.md). */
const LOGGED_LATER_MS_MAX = 50;
/** By replication samples tell when: they lie 200 ms apart, further when the machine is short of time. */
const SAMPLED_MS_MAX = 1_000;
const COMMON_LEVEL = 6_00_00;
const DATABASES = '16';
/** Databases that the type-complete dataset is written to, before the capture and while it runs. */
const BEFORE = [0, 15] as const;
const DURING = [7] as const;

/** A server that restores go into, one after the other. */
export interface MatrixTarget {
  readonly server: RedisServer;
  readonly client: Redis;
  readonly can: Capabilities;
}

/** What a server wrote in some seconds, captured by the archiver, with each of them recorded. */
export class MatrixSource implements AsyncDisposable {
  readonly #bench: ArchiverBench;
  readonly #catalog: Catalog;
  readonly #can: Capabilities;
  readonly #dataset: Dataset;
  readonly #source: CaptureOf;
  readonly recorded: readonly RecordedSecond[];

  private constructor(
    bench: ArchiverBench,
    catalog: Catalog,
    what: Pick<Capturing, 'can' | 'dataset' | 'source'>,
    recorded: readonly RecordedSecond[],
  ) {
    this.#bench = bench;
    this.#catalog = catalog;
    this.#can = what.can;
    this.#dataset = what.dataset;
    this.#source = what.source;
    this.recorded = recorded;
  }

  /**
   * Starts a server, writes to it, captures it for five recorded seconds and ends it.
   * @param source - Through what. By replication nothing is persisted.
   */
  static async record(
    binary: ServerBinary,
    dataset: Dataset,
    seed: number,
    source: CaptureOf = 'aof',
  ): Promise<MatrixSource> {
    const can = capabilitiesOf(binary);
    const stamps = source === 'aof' ? { 'aof-timestamp-enabled': 'yes' } : {};
    const config = { databases: DATABASES, ...stamps };
    const bench = await ArchiverBench.open({ binary: binary.binary, source, config });
    try {
      const recorded = await capture(bench, { can, dataset, seed, source });
      const catalog = openCatalog({ path: ':memory:' });
      const logKey = await bench.keys.logKey(INSTANCE);
      const { store } = bench;
      await catalog.sync({ store, instances: [INSTANCE], logKey: () => Promise.resolve(logKey) });
      return new MatrixSource(bench, catalog, { can, dataset, source }, recorded);
    } catch (error) {
      await bench[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Restores a recorded second into a server and says where it differs.
   * @throws TidemarkError when the restore is refused.
   */
  async diffRestored(wanted: RecordedSecond, target: MatrixTarget): Promise<string[]> {
    const { server, client, can } = target;
    const withFields = hasFieldExpiry(this.#can, this.#dataset);
    await restore(
      restoreRequest(server.port, {
        instance: INSTANCE,
        point: { kind: 'second', second: wanted.second },
      }),
      {
        store: this.#bench.store,
        keys: this.#bench.keys,
        catalog: this.#catalog,
        clock: systemClock,
        random: systemRandom,
        stateDir: this.#bench.stateDir('restores'),
        signal: AbortSignal.timeout(60_000),
        original: null,
        onProgress: () => undefined,
      },
    );
    try {
      return await diffRestored(wanted.oracle, server, client, {
        old: can.old,
        hashes: true,
        ...this.#expiryBounds(),
        comparable: comparableOf(this.#can, can, withFields),
      });
    } finally {
      await client.call('REPLICAOF', 'NO', 'ONE');
    }
  }

  /** Before 7.0 an expiry is sent, and logged, as what is left of a life. */
  #expiryBounds(): { readonly laterMs?: number; readonly earlierMs?: number } {
    if (this.#can.version >= 7_00_00) return {};
    if (this.#source === 'aof') return { laterMs: LOGGED_LATER_MS_MAX };
    return { laterMs: SAMPLED_MS_MAX, earlierMs: SAMPLED_MS_MAX };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#catalog.close();
    await this.#bench[Symbol.asyncDispose]();
  }
}

function hasFieldExpiry(can: Capabilities, dataset: Dataset): boolean {
  return dataset === 'full' && can.fieldExpiry;
}

interface Capturing {
  readonly can: Capabilities;
  readonly dataset: Dataset;
  readonly seed: number;
  readonly source: CaptureOf;
}

async function capture(
  bench: ArchiverBench,
  { can, dataset, seed, source }: Capturing,
): Promise<readonly RecordedSecond[]> {
  const { server } = bench;
  await using writing = await nodeOf(server);
  await using blocking = await nodeOf(server);
  const full = dataset === 'full';
  const fieldExpiry = hasFieldExpiry(can, dataset);
  const types: TypeOptions = { fieldExpiry, functions: full && can.functions ? 'tide' : null };
  const workload = new Workload(writing, blocking, {
    seed,
    fieldExpiry: fieldExpiry ? can.product : null,
    dumps: full,
    falseCounters: false,
    ...(full ? {} : { level: COMMON_LEVEL }),
  });
  for (const db of BEFORE) await writeTypesInto(writing, db, 'before', types);
  await workload.open();
  // So that the first snapshot holds all that was written up to now, and not the log.
  if (source === 'aof') await rewriteAof(await server.connect());
  const archiver = await bench.begin({ limits: { rollMaxAgeMs: 1_000 } });
  const recorder = new SecondRecorder(await server.connect(), Number(DATABASES), {
    writeFromMs: WRITE_FROM_MS,
    hashes: true,
    ...(can.old ? { old: server } : {}),
  });
  await recorder.record(workload, 1);
  // By replication a backup stands in the middle of the stream: later seconds are restored from it.
  if (source === 'psync') await archiver.ask('backup');
  const left = [...DURING];
  await recorder.record(
    {
      async step() {
        const db = left.pop();
        if (db !== undefined) await writeTypesInto(writing, db, 'during', types);
        await workload.step();
      },
    },
    SECONDS - 1,
  );
  const { recorded } = recorder;
  const last = recorded.at(-1)?.second ?? 0;
  const deadline = performance.now() + PROVEN_MS_MAX;
  for (let proven = 0; proven < last;) {
    if (performance.now() > deadline) throw new Error(`proven to ${proven}, not to ${last}`);
    await systemClock.sleep(100);
    ({ provenTo: proven } = (await archiver.ask('roll')) as { provenTo: number });
  }
  await archiver.stop();
  await server.kill();
  return recorded;
}

async function writeTypesInto(
  client: NodeClient,
  db: number,
  prefix: string,
  types: TypeOptions,
): Promise<void> {
  await client.call('SELECT', db);
  await writeTypeComplete(client, prefix, types);
}
