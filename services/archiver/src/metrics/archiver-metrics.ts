import type { WriterEvent } from '@tidemark/catalog';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { CaptureLimits } from '../capture/capture-options.ts';
import type { CaptureStatus } from '../capture/capture-status.ts';
import { GONE_FAMILIES, goneSamples } from '../fleet/gone-samples.ts';
import type { GoneHost } from '../fleet/host-watch.ts';
import { SHARD } from '../instance-writers.ts';
import type { Logger } from '../logger.ts';
import { CAPTURE_FAMILIES, captureSamples } from './capture-samples.ts';
import { CATALOG_FAMILIES } from './catalog-samples.ts';
import { CatalogWatch } from './catalog-watch.ts';
import { EVENT_FAMILIES, EventCounts } from './event-counts.ts';
import { buildInfo } from './build-info.ts';
import {
  openMetricRegistry,
  type DurationMetric,
  type Exposition,
  type MetricRegistry,
} from './metric-registry.ts';
import { openOperationsServer } from './operations-server.ts';
import { stallMsOf, StallWatch } from './readiness.ts';
import { OPERATION_METERS, OperationMeter, timedKeys, timedStore } from './timed-store.ts';

/** How often the captures are looked at, so that it is known since when one stands still. */
const LOOK_MS = 5_000;
const BACKUP_BUCKETS = [1, 5, 15, 60, 300, 900, 3_600, 14_400];
/** A source of numbers that fails at every scrape is told of so often. */
const TOLD_EVERY_MS = 600_000;

/** What the metrics of an archiver need. */
export interface ArchiverMetricsOptions {
  /** Port 0: one that is free. */
  readonly listen: { readonly host: string; readonly port: number };
  /** How long history is kept where an instance has no policy of its own. */
  readonly retainSeconds: number;
  /** How long a proven second may stand still, in milliseconds; default as `stallMsOf`. */
  readonly stallMs?: number;
}

/** What the metrics of an archiver work with. */
export interface MetricsPorts {
  readonly stateDir: string;
  readonly spoolBytesMax: number;
  readonly limits: CaptureLimits;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Metrics and health of an archiver. The capture pays some additions for each log entry and a clock
 * reading for each request to the store; everything else is worked out when somebody asks.
 */
export class ArchiverMetrics {
  readonly #options: ArchiverMetricsOptions;
  readonly #ports: MetricsPorts;
  readonly #registry: MetricRegistry;
  readonly #events = new EventCounts();
  readonly #repo: OperationMeter;
  readonly #kms: OperationMeter;
  readonly #backups: DurationMetric;
  #toldMs = -Infinity;

  private constructor(
    options: ArchiverMetricsOptions,
    ports: MetricsPorts,
    registry: MetricRegistry,
  ) {
    const { clock } = ports;
    this.#options = options;
    this.#ports = ports;
    this.#registry = registry;
    this.#repo = new OperationMeter(registry, clock, OPERATION_METERS.repo);
    this.#kms = new OperationMeter(registry, clock, OPERATION_METERS.kms);
    this.#backups = registry.durations({
      name: 'tidemark_backup_duration_seconds',
      help: 'How long a backup took, from its begin until it was durable.',
      labels: ['instance', 'shard'],
      buckets: BACKUP_BUCKETS,
    });
    const build = buildInfo();
    registry.collect([build.family], () => [build.sample]);
    registry.collect(EVENT_FAMILIES, () => this.#events.samples());
  }

  /** Opens the metrics; nothing listens yet. */
  static async open(
    options: ArchiverMetricsOptions,
    ports: MetricsPorts,
  ): Promise<ArchiverMetrics> {
    const metrics: { it?: ArchiverMetrics } = {};
    const registry = await openMetricRegistry((cause) => metrics.it?.tell(cause));
    metrics.it = new ArchiverMetrics(options, ports, registry);
    return metrics.it;
  }

  /** The same store, with its operations counted and timed. */
  store(store: ObjectStore): ObjectStore {
    return timedStore(store, this.#repo);
  }

  /** The same keys; those of a key service with their requests counted and timed. */
  keys<K extends KeyProvider>(keys: K): K {
    return timedKeys(keys, this.#kms);
  }

  /** Takes an event that is in the log of a writer. */
  note(instance: string, event: WriterEvent): void {
    this.#events.note(instance, SHARD, event);
    if (event.type !== 'SnapshotStored') return;
    const seconds = Math.max(0, event.endedMs - event.startedMs) / 1000;
    this.#backups.observe({ instance, shard: SHARD }, seconds);
  }

  /**
   * Listens until it is disposed.
   * @param o - `captures`: what there is to say of them now.
   * @throws UsageError `TM_LISTEN` when it cannot listen.
   */
  async serve(o: {
    readonly captures: () => readonly CaptureStatus[];
    /** Other hosts that show no life; default none. */
    readonly gone?: () => readonly GoneHost[];
    readonly store: ObjectStore;
    readonly keys: Pick<KeyProvider, 'logKey'>;
  }): Promise<AsyncDisposable> {
    const { clock, logger, stateDir, spoolBytesMax, limits } = this.#ports;
    const { listen, retainSeconds, stallMs = stallMsOf(limits) } = this.#options;
    const { captures, store, keys, gone = () => [] } = o;
    const onFailed = (cause: unknown): void => this.tell(cause);
    const watch = new CatalogWatch({ stateDir, store, keys, clock, retainSeconds, onFailed });
    const settings = { shard: SHARD, spoolBytesMax };
    this.#registry.collect(CAPTURE_FAMILIES, () => captureSamples(captures(), settings));
    this.#registry.collect(CATALOG_FAMILIES, () => watch.samples(captures()));
    this.#registry.collect(GONE_FAMILIES, () => goneSamples(gone()));
    const stalls = new StallWatch(clock, stallMs);
    const server = await openOperationsServer(listen, {
      exposition: () => this.exposition(),
      readiness: () => stalls.readiness(captures()),
    });
    logger.info('metrics', { host: server.host, port: server.port });
    const over = new AbortController();
    const looking = lookAgain(() => stalls.note(captures()), clock, over.signal);
    return {
      async [Symbol.asyncDispose]() {
        over.abort();
        await looking;
        await server[Symbol.asyncDispose]();
        watch[Symbol.dispose]();
      },
    };
  }

  /** What `/metrics` answers. */
  exposition(): Promise<Exposition> {
    return this.#registry.exposition();
  }

  /** Says that some numbers could not be read; a scraper asks often, so not each time. */
  tell(cause: unknown): void {
    const { clock, logger } = this.#ports;
    if (clock.monotonicMs() - this.#toldMs < TOLD_EVERY_MS) return;
    this.#toldMs = clock.monotonicMs();
    const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
    const error = cause instanceof Error ? cause.message : String(cause);
    logger.warn('metrics-incomplete', { code, error });
  }
}

async function lookAgain(look: () => void, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    look();
    await clock.sleep(LOOK_MS, signal).catch(() => undefined);
  }
}
