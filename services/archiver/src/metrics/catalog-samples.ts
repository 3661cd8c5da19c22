import type { WindowRange, Windows } from '@tidemark/archive';
import {
  deletedBackups,
  type Catalog,
  type CatalogSnapshot,
  type TdeState,
} from '@tidemark/catalog';
import type { MetricFamily, MetricSample } from './metric-registry.ts';

const LABELS = ['instance', 'shard'] as const;

/** What the catalog knows of instances. */
export const CATALOG_FAMILIES: readonly MetricFamily[] = [
  gauge('recoverable_earliest_timestamp_seconds', 'First second that can be restored.'),
  gauge('recoverable_latest_timestamp_seconds', 'Last second that can be restored.'),
  gauge(
    'recoverable_ratio',
    'Share of the seconds that can be restored, of those between the first and the last one within what the policy keeps.',
  ),
  gauge('backups', 'Backups that can be restored from.', 'state'),
  gauge(
    'backup_last_success_timestamp_seconds',
    'When the newest backup of each kind was complete.',
    'mode',
  ),
  gauge(
    'backup_size_bytes',
    'Size of the newest backup: logical as an RDB, stored as sealed.',
    'kind',
  ),
  {
    name: 'tidemark_tde_encrypted_ratio',
    help: 'Share of the backups of an instance with TDE that were made since it is on.',
    type: 'gauge',
    labels: ['instance'],
  },
  {
    name: 'tidemark_repo_bytes',
    help: 'Sealed bytes of what restores can use.',
    type: 'gauge',
    labels: ['instance', 'kind'],
  },
];

function gauge(name: string, help: string, ...more: readonly string[]): MetricFamily {
  return { name: `tidemark_${name}`, help, type: 'gauge', labels: [...LABELS, ...more] };
}

/** What of an instance is known beside the catalog. */
export interface InstanceFacts {
  readonly instance: string;
  /** How long history is kept where the instance has no policy of its own. */
  readonly retainSeconds: number;
  readonly nowMs: number;
  /** The open timeline and what it has proven by now; null where nobody knows. */
  readonly live: { readonly timeline: string | null; readonly provenTo: number | null } | null;
}

/**
 * The numbers of an instance, as the catalog stands.
 * @returns None for one that was never read.
 */
export function catalogSamples(catalog: Catalog, facts: InstanceFacts): readonly MetricSample[] {
  const { instance } = facts;
  const state = catalog.instances().find(({ iid }) => iid === instance);
  if (state === undefined) return [];
  const retainSeconds = state.policy?.retainSeconds ?? facts.retainSeconds;
  const snapshots = catalog.snapshots(instance);
  const deleted = deletedBackups(state.backups);
  const shards = [...new Set(state.writers.map(({ shard }) => shard))];
  const stored = snapshots.reduce((sum, { object }) => sum + object.size, 0);
  const { bytes } = catalog.retention((queries) => queries.total(instance));
  return [
    ...tdeSamples(state.tde, snapshots, instance),
    { name: 'tidemark_repo_bytes', labels: { instance, kind: 'snapshot' }, value: stored },
    {
      name: 'tidemark_repo_bytes',
      labels: { instance, kind: 'segment' },
      value: Math.max(0, bytes - stored),
    },
    ...shards.flatMap((shard) => {
      const labels = { instance, shard };
      const windows = catalog.windows(instance, shard);
      const timeline = catalog.timelines(instance).at(-1)?.timeline ?? null;
      const live = timeline !== null && facts.live?.timeline === timeline ? facts.live : null;
      return [
        ...windowSamples(windows, { labels, retainSeconds, nowMs: facts.nowMs, live }),
        ...backupSamples(
          // What somebody deleted is no backup to count upon.
          snapshots.filter(({ object, backup }) => object.shard === shard && !deleted.has(backup)),
          labels,
        ),
      ];
    }),
  ];
}

function tdeSamples(
  tde: TdeState | null,
  snapshots: readonly CatalogSnapshot[],
  instance: string,
): readonly MetricSample[] {
  if (tde === null || snapshots.length === 0) return [];
  const first = snapshots.find(({ backup }) => backup === tde.backup);
  const fromMs = first?.startedMs ?? tde.enabledMs ?? Infinity;
  const value = snapshots.filter(({ startedMs }) => startedMs >= fromMs).length / snapshots.length;
  return [{ name: 'tidemark_tde_encrypted_ratio', labels: { instance }, value }];
}

function windowSamples(
  windows: Windows,
  o: {
    readonly labels: Readonly<Record<string, string>>;
    readonly retainSeconds: number;
    readonly nowMs: number;
    readonly live: InstanceFacts['live'];
  },
): readonly MetricSample[] {
  const { earliest, latest } = windows;
  if (earliest === null || latest === null) return [];
  const { labels } = o;
  const end = Math.max(latest, o.live?.provenTo ?? latest);
  const begin = Math.max(earliest, Math.floor(o.nowMs / 1000) - o.retainSeconds);
  // What was proven since the catalog was read lies behind its last window.
  const ranges = windows.ranges.map((range, index) =>
    index === windows.ranges.length - 1 ? { ...range, to: end } : range,
  );
  const covered = secondsWithin(ranges, begin, end);
  return [
    { name: 'tidemark_recoverable_earliest_timestamp_seconds', labels, value: earliest },
    { name: 'tidemark_recoverable_latest_timestamp_seconds', labels, value: end },
    {
      name: 'tidemark_recoverable_ratio',
      labels,
      value: begin > end ? 0 : covered / (end - begin + 1),
    },
  ];
}

function secondsWithin(
  ranges: readonly Pick<WindowRange, 'from' | 'to'>[],
  begin: number,
  end: number,
): number {
  return ranges.reduce(
    (sum, { from, to }) => sum + Math.max(0, Math.min(to, end) - Math.max(from, begin) + 1),
    0,
  );
}

function backupSamples(
  snapshots: readonly CatalogSnapshot[],
  labels: Readonly<Record<string, string>>,
): readonly MetricSample[] {
  const newest = new Map<string, CatalogSnapshot>();
  for (const snapshot of snapshots) {
    for (const key of [snapshot.mode, 'any']) {
      if (snapshot.endedMs >= (newest.get(key)?.endedMs ?? 0)) newest.set(key, snapshot);
    }
  }
  const last = newest.get('any');
  newest.delete('any');
  return [
    {
      name: 'tidemark_backups',
      labels: { ...labels, state: 'stored' },
      value: snapshots.length,
    },
    ...[...newest].map(([mode, { endedMs }]) => ({
      name: 'tidemark_backup_last_success_timestamp_seconds',
      labels: { ...labels, mode },
      value: endedMs / 1000,
    })),
    ...(last === undefined
      ? []
      : [
          {
            name: 'tidemark_backup_size_bytes',
            labels: { ...labels, kind: 'logical' },
            value: last.rdbBytes,
          },
          {
            name: 'tidemark_backup_size_bytes',
            labels: { ...labels, kind: 'stored' },
            value: last.object.size,
          },
        ]),
  ];
}
