import type { CaptureStatus } from '@tidemark/archiver';
import { UsageError } from '@tidemark/core';
import { freshen, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { timelineDocument, timelineLines } from './timelines.ts';

/** Shows which seconds can be restored, and why others cannot. */
export async function showWindows(
  id: string,
  options: { readonly timelines: boolean },
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { archiver } = await freshen(workspace, id, invocation.signal);
  if (!workspace.catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const windows = workspace.catalog.windows(id);
  const seconds = joinRanges(windows.ranges);
  const ranges = seconds.map(({ from, to }) => ({
    from: formatSecond(from),
    to: formatSecond(to),
  }));
  const holes = windows.holes.map(({ from, to, reason }) => ({
    from: formatSecond(from),
    to: formatSecond(to),
    reason,
  }));
  const edge = (second: number | null): string | null =>
    second === null ? null : formatSecond(second);
  const newest = workspace.catalog.spans(id).findLast(({ from }) => from !== null);
  // Later than the latest window while a clock that was set back shows seconds again.
  const again = newest?.to != null && newest.to > (windows.latest ?? Infinity) ? newest.to : null;
  const timelines = workspace.catalog.timelines(id).map(timelineDocument);
  const pins = archiver ? await pinClassOf(workspace, id, invocation.signal) : null;
  const document = {
    instance: id,
    earliest: edge(windows.earliest),
    latest: edge(windows.latest),
    provenTo: edge(again ?? windows.latest),
    shards: [{ shard: '0', pins, ranges, holes, ...(options.timelines ? { timelines } : {}) }],
  };
  invocation.printer.result(document, () => {
    const more = options.timelines ? ['', ...timelineLines(timelines)] : [];
    if (ranges.length === 0) return [withoutSeconds(id, workspace), ...more];
    const rows = [
      ...seconds.map(({ from, to }) => ({ from, to, note: '' })),
      ...windows.holes.map(({ from, to, reason }) => ({ from, to, note: `HOLE: ${reason}` })),
    ].sort((a, b) => a.from - b.from);
    return [
      ...table(
        ['SHARD', 'FROM (UTC)', 'TO (UTC)', 'LENGTH', 'NOTE'],
        rows.map(({ from, to, note }) => [
          '0',
          formatSecond(from),
          formatSecond(to),
          formatLength(to - from + 1),
          note,
        ]),
      ),
      ...(again === null
        ? []
        : [
            `seconds up to ${formatSecond(again)} pass again: the clock was set back; newest state: --at latest`,
          ]),
      ...more,
      ...(pins === null ? [] : [`files of the node are held as: ${pins}`]),
      ...(archiver ? [] : ['the archiver does not run: the windows end at what is proven']),
    ];
  });
}

/** Backups of no capture prove no second, and are there all the same. */
function withoutSeconds(id: string, { catalog }: Workspace): string {
  if (catalog.snapshots(id).length === 0) {
    return 'nothing can be restored yet: no snapshot is stored';
  }
  return `no second can be restored, only backups: tidemark backup list ${id}, restore ${id} --backup BK`;
}

/** Ranges without a second between them are one window, though on two timelines. */
function joinRanges(
  ranges: readonly { readonly from: number; readonly to: number }[],
): readonly { readonly from: number; readonly to: number }[] {
  const joined: { readonly from: number; readonly to: number }[] = [];
  for (const { from, to } of ranges) {
    const last = joined.at(-1);
    if (last?.to === from - 1) joined.splice(-1, 1, { from: last.from, to });
    else joined.push({ from, to });
  }
  return joined;
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
  const answer = (await workspace.askArchiver('status', null, { timeoutMs: 5_000, signal })) as {
    readonly captures: readonly CaptureStatus[];
  } | null;
  return answer?.captures.find(({ instance }) => instance === id)?.pinClass ?? null;
}
