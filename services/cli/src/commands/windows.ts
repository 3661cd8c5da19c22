import {
  askStatus,
  bucketDocuments,
  meeting,
  shardWindows,
  stepOf,
  windowsDocument,
  type BucketDocument,
  type ShardWindows,
} from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { freshen, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { formatSecond, parseTime } from '../time.ts';
import { timelineLines } from './timelines.ts';

/** Flags of `tidemark windows` as commander gives them. */
export interface WindowsFlags {
  readonly since?: string;
  readonly until?: string;
  readonly resolution?: string;
  readonly timelines?: boolean;
}

/** What keeps the files of a node from being lost in a rewrite before they are stored. */
const PIN_CLASSES: Readonly<Record<string, string>> = {
  pinned: 'pinned (links keep them over rewrites)',
  held: 'held open (kept over rewrites while the archiver runs)',
  hold: 'kept by the node until they are stored (hold)',
};

/** Shows which seconds can be restored, and why others cannot. */
export async function showWindows(
  id: string,
  { since, until, resolution, timelines = false }: WindowsFlags,
  invocation: Invocation,
): Promise<void> {
  const nowMs = systemClock.nowMs();
  const span = { from: edgeOf(since, nowMs), to: edgeOf(until, nowMs) };
  if (span.from !== null && span.to !== null && span.from > span.to) {
    throw new UsageError('TM_USAGE', '--until lies before --since');
  }
  const stepSeconds = resolution === undefined ? null : stepOf(resolution);
  using workspace = await Workspace.open(invocation);
  const { archiver } = await freshen(workspace, id, invocation.signal);
  const shards = shardWindows(workspace.catalog, id);
  const pins = archiver ? await pinClassOf(workspace, id, invocation.signal) : null;
  const nowSecond = Math.floor(systemClock.nowMs() / 1000);
  const buckets =
    stepSeconds === null ? null : bucketDocuments(shards, span, { stepSeconds, nowSecond });
  const document = windowsDocument(id, shards, { timelines, pins, span });
  invocation.printer.result({ ...document, ...(buckets === null ? {} : { buckets }) }, () => {
    const shown = shards.map((shard) => ({
      ...shard,
      ranges: meeting(shard.ranges, span),
      holes: meeting(shard.holes, span),
    }));
    const more = timelines
      ? ['', ...shards.flatMap((shard) => timelineLines(shard.timelines))]
      : [];
    if (shards.every(({ ranges }) => ranges.length === 0)) {
      return [withoutSeconds(id, workspace), ...more];
    }
    return [
      ...(buckets === null
        ? table(['SHARD', 'FROM (UTC)', 'TO (UTC)', 'LENGTH', 'NOTE'], shown.flatMap(rowsOf))
        : table(['FROM (UTC)', 'TO (UTC)', 'STATE', 'RESTORABLE', 'NOTE'], buckets.map(bucketRow))),
      ...shards.flatMap(({ again }) =>
        again === null
          ? []
          : [
              `seconds up to ${formatSecond(again)} pass again: the clock was set back; newest state: --at latest`,
            ],
      ),
      ...more,
      ...(pins === null ? [] : [`append-only files of the node: ${PIN_CLASSES[pins] ?? pins}`]),
      ...endLines(id, archiver, workspace),
    ];
  });
}

/** Null: open. */
function edgeOf(text: string | undefined, nowMs: number): number | null {
  const time = text === undefined ? 'latest' : parseTime(text, nowMs);
  return time === 'latest' ? null : time.second;
}

function bucketRow(bucket: BucketDocument): readonly string[] {
  const { from, to, state, restorableSeconds, gapSeconds, lagSeconds, reasons } = bucket;
  const notes = [
    ...(gapSeconds > 0 ? [`HOLE: ${formatLength(gapSeconds)} (${reasons.join(', ')})`] : []),
    ...(lagSeconds > 0 ? [`not proven yet: ${formatLength(lagSeconds)}`] : []),
  ];
  const share = restorableSeconds === 0 ? '-' : formatLength(restorableSeconds);
  return [from, to, state, share, notes.join('; ')];
}

/** Why the last window ends, where it does not go on. */
function endLines(
  id: string,
  archiver: boolean,
  { catalog, config }: Workspace,
): readonly string[] {
  const { policy } = catalog.instance(id);
  const flashback = policy === null ? config.policy.policy.flashback : (policy.flashback ?? true);
  if (!flashback) {
    return [
      `flashback is off (detached): only backups are made; on again: tidemark policy set ${id} --flashback on`,
    ];
  }
  return archiver
    ? []
    : ['no archiver of this host captures it now: the windows end at what is proven'];
}

/** Windows and holes of a shard, in the order of time. */
function rowsOf({ shard, ranges, holes }: ShardWindows): readonly (readonly string[])[] {
  return [
    ...ranges.map(({ from, to }) => ({ from, to, note: '' })),
    ...holes.map(({ from, to, reason }) => ({ from, to, note: `HOLE: ${reason}` })),
  ]
    .sort((a, b) => a.from - b.from)
    .map(({ from, to, note }) => [
      ...[shard, formatSecond(from), formatSecond(to), formatLength(to - from + 1), note],
    ]);
}

/** Backups of no capture prove no second, and are there all the same. */
function withoutSeconds(id: string, { catalog }: Workspace): string {
  if (catalog.snapshots(id).length === 0) {
    return 'nothing can be restored yet: no snapshot is stored';
  }
  return `no second can be restored, only backups: tidemark backup list ${id}, restore ${id} --backup BK`;
}

function formatLength(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  if (days > 0) return `${days.toString()}d ${hours.toString()}h`;
  if (hours > 0) return `${hours.toString()}h ${minutes.toString()}m`;
  return minutes > 0
    ? `${minutes.toString()}m ${(seconds % 60).toString()}s`
    : `${seconds.toString()}s`;
}

/** How the running archiver holds the files of the node; null when it does not say. */
async function pinClassOf(
  workspace: Workspace,
  id: string,
  signal: AbortSignal,
): Promise<string | null> {
  const answer = await askStatus(workspace, signal);
  return answer?.captures.find(({ instance }) => instance === id)?.pinClass ?? null;
}
