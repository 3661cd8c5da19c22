import {
  buildInfo,
  CATALOG_FAMILIES,
  catalogSamples,
  OPERATION_METERS,
  OperationMeter,
  openMetricRegistry,
  type DurationMetric,
  type Exposition,
  type LateMeter,
  type Logger,
  type MetricFamily,
  type MetricRegistry,
  type MetricSample,
  type Readiness,
} from '@tidemark/archiver';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Catalog } from '@tidemark/catalog';
import { retentionRules, type Workspace } from '@tidemark/workspace';
import type { JobDesk, JobEvent } from '../jobs/job.ts';
import type { CatalogKeeper } from '../queries/catalog-keeper.ts';
import type { RecycleBin } from '../recycle/recycle-bin.ts';
import type { StateDatabase } from '../state/database.ts';
import { ControlReadiness } from './control-readiness.ts';
import { JOB_FAMILIES, JobMeter } from './job-meter.ts';
import { STATE_FAMILIES, stateSamples } from './state-samples.ts';

const HTTP_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const PHASE_BUCKETS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400];
/** How old the catalog may be that numbers are read from. */
const CATALOG_AGE_MS = 60_000;
const TOLD_EVERY_MS = 600_000;
/** What is left in the store of an instance that was removed. */
const REPO_BYTES = 'tidemark_repo_bytes';

/** What the metrics of API and workers are made of. */
export interface ControlMetricsParts {
  readonly workspace: Pick<Workspace, 'config' | 'catalog' | 'store' | 'askArchiver'>;
  readonly jobs: JobDesk & {
    readonly news: { onEvent(listener: (event: JobEvent) => void): unknown };
  };
  readonly state: Pick<StateDatabase, 'read' | 'write' | 'run' | 'query' | 'replacement'>;
  readonly fresh: Pick<CatalogKeeper, 'all'>;
  /** Default: there is no bin. */
  readonly recycle?: Pick<RecycleBin, 'postponed'>;
  readonly policy: PolicyNumbers;
  /** What store and keys of the workspace are asked through. */
  readonly timers: { readonly repo: LateMeter; readonly kms: LateMeter };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A request that the API has answered. */
export interface AnsweredRequest {
  readonly method: string;
  /** The pattern of the route, never the path that was asked for. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

/** What a policy desk says of an instance. */
export interface PolicyNumbers {
  /** When the next backup begins, Unix milliseconds; null: not known. */
  nextBackupMs(instance: string): number | null;
  /** Runs that were skipped or missed. */
  missedCount(instance: string): number;
}

const POLICY_FAMILIES: readonly MetricFamily[] = [
  {
    name: 'tidemark_policy_next_run_timestamp_seconds',
    help: 'When the policy makes the next backup.',
    type: 'gauge',
    labels: ['instance'],
  },
  {
    name: 'tidemark_policy_missed_total',
    help: 'Runs of the policy that were skipped or missed.',
    type: 'counter',
    labels: ['instance'],
  },
];

const POSTPONED: MetricFamily = {
  name: 'tidemark_recycle_postponed',
  help: 'Instances of the recycle bin that are kept since the clock of this host alone says they are due.',
  type: 'gauge',
  labels: ['instance'],
};

interface Opened {
  readonly registry: MetricRegistry;
  readonly http: DurationMetric;
}

type Source = readonly [
  readonly MetricFamily[],
  () => readonly MetricSample[] | Promise<readonly MetricSample[]>,
];

/**
 * Metrics and readiness of API and workers. A command line that opens a control plane only to ask it
 * something pays nothing for them: they begin with `begin`.
 */
export class ControlMetrics {
  readonly #parts: ControlMetricsParts;
  readonly #readiness: ControlReadiness;
  readonly #sources: Source[] = [];
  #opening: Promise<Opened> | null = null;
  #opened: Opened | null = null;
  #toldMs = -Infinity;

  constructor(parts: ControlMetricsParts) {
    this.#parts = parts;
    this.#readiness = new ControlReadiness(parts);
  }

  /** Begins to count; before that nothing is. */
  async begin(): Promise<void> {
    this.#opening ??= this.#open();
    await this.#opening;
  }

  /** What `/metrics` answers. */
  async exposition(): Promise<Exposition> {
    this.#opening ??= this.#open();
    const { registry } = await this.#opening;
    return registry.exposition();
  }

  /** What `/readyz` answers. */
  readiness(): Promise<Readiness> {
    return this.#readiness.now();
  }

  /** Adds families of another part; before or after `begin`. */
  collect(...source: Source): void {
    this.#sources.push(source);
    this.#opened?.registry.collect(...source);
  }

  /** Takes a request that was answered. */
  request({ method, route, status, seconds }: AnsweredRequest): void {
    this.#opened?.http.observe({ method, route, status: status.toString() }, seconds);
  }

  async #open(): Promise<Opened> {
    const { jobs, workspace, timers, clock } = this.#parts;
    const registry = await openMetricRegistry((cause) => this.#tell(cause));
    const build = buildInfo();
    registry.collect([build.family], () => [build.sample]);
    const http = registry.durations({
      name: 'tidemark_http_request_duration_seconds',
      help: 'How long the API took for an answer, by the pattern of the route.',
      labels: ['method', 'route', 'status'],
      buckets: HTTP_BUCKETS,
    });
    timers.repo.meter = new OperationMeter(registry, clock, OPERATION_METERS.repo);
    timers.kms.meter = new OperationMeter(registry, clock, OPERATION_METERS.kms);
    const meter = new JobMeter(
      registry.durations({
        name: 'tidemark_restore_duration_seconds',
        help: 'How long each phase of a restore took.',
        labels: ['phase'],
        buckets: PHASE_BUCKETS,
      }),
    );
    jobs.news.onEvent((event) => meter.note(event));
    registry.collect(JOB_FAMILIES, () => meter.samples());
    const instances = (): readonly string[] => instancesOf(workspace.catalog);
    registry.collect(STATE_FAMILIES, () => stateSamples(jobs, instances()));
    registry.collect(POLICY_FAMILIES, () => instances().flatMap((id) => this.#policyOf(id)));
    registry.collect([POSTPONED], () => this.#postponed());
    registry.collect(CATALOG_FAMILIES, () => this.#catalogSamples());
    for (const source of this.#sources) registry.collect(...source);
    this.#opened = { registry, http };
    return this.#opened;
  }

  #postponed(): readonly MetricSample[] {
    const { postponed } = this.#parts.recycle ?? { postponed: [] };
    return postponed.map(({ instance }) => ({
      ...{ name: POSTPONED.name, labels: { instance }, value: 1 },
    }));
  }

  #policyOf(instance: string): readonly MetricSample[] {
    const { policy } = this.#parts;
    const nextMs = policy.nextBackupMs(instance);
    const [labels, value] = [{ instance }, policy.missedCount(instance)];
    const [next, missed] = POLICY_FAMILIES.map(({ name }) => name);
    return [
      { name: missed ?? '', labels, value },
      ...(nextMs === null ? [] : [{ name: next ?? '', labels, value: nextMs / 1000 }]),
    ];
  }

  async #catalogSamples(): Promise<readonly MetricSample[]> {
    const { workspace, fresh, clock } = this.#parts;
    // What was read before is still true while the store is away.
    await fresh.all(CATALOG_AGE_MS).catch((cause: unknown) => this.#tell(cause));
    const { retainSeconds } = retentionRules(workspace.config);
    const facts = { retainSeconds, nowMs: clock.nowMs(), live: null };
    const { catalog } = workspace;
    const known = new Set(instancesOf(catalog));
    return catalog.instances().flatMap(({ iid }) => {
      if (iid === null) return [];
      const samples = catalogSamples(catalog, { ...facts, instance: iid });
      // Nobody makes backups of one that was removed, and no alarm is to wait for them.
      return known.has(iid) ? samples : samples.filter(({ name }) => name === REPO_BYTES);
    });
  }

  #tell(cause: unknown): void {
    const { clock, logger } = this.#parts;
    if (clock.monotonicMs() - this.#toldMs < TOLD_EVERY_MS) return;
    this.#toldMs = clock.monotonicMs();
    const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
    const error = cause instanceof Error ? cause.message : String(cause);
    logger.warn('metrics-incomplete', { code, error });
  }
}

/** Those that were not removed. */
function instancesOf(catalog: Catalog): readonly string[] {
  const instances = catalog.instances().filter(({ removedMs }) => removedMs === null);
  return instances.flatMap(({ iid }) => (iid === null ? [] : [iid]));
}
