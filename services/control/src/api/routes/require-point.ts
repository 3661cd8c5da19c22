import { nearestRestorable } from '@tidemark/archive';
import type { Catalog } from '@tidemark/catalog';
import { PlanError } from '@tidemark/core';
import type { WantedPoint } from '@tidemark/restorer';
import { formatSecond } from '@tidemark/workspace';
import { findBackupDocuments } from '../../queries/backups.ts';
import { commonWindows } from '../../queries/common-windows.ts';
import { knownInstance } from '../../queries/known-instance.ts';
import { shardWindows } from '../../queries/windows.ts';
import type { Control } from '../../control.ts';
import { wrongField } from '../problem-types.ts';

/**
 * Refuses what is plainly not there, before a job is made of it: an unknown instance or backup, or a
 * second that no window has. What the catalog does not know yet is asked of the archiver first.
 * @throws UsageError `TM_NOT_FOUND`; PlanError `TM_TIME_NOT_RESTORABLE`; ApiProblem `validation`.
 */
export async function requirePoint(
  instance: string,
  point: WantedPoint,
  { fresh, tail }: Pick<Control, 'fresh' | 'tail'>,
  signal: AbortSignal,
): Promise<void> {
  const catalog = await fresh.of(instance);
  knownInstance(catalog, instance);
  if (point.kind === 'backup') requireBackup(catalog, instance, point.backup);
  // On a timeline that somebody names, other seconds are there than the windows show.
  if (point.kind !== 'second' || point.timeline != null) return;
  if (holeAt(catalog, instance, point.second) === null) return;
  const hole = holeAt(await tail.act(instance, point.second, signal), instance, point.second);
  if (hole !== null) throw hole;
}

function requireBackup(catalog: Catalog, instance: string, backup: string): void {
  const [shard] = findBackupDocuments(catalog, backup);
  if (shard.instance !== instance) {
    throw wrongField('/backupId', `${backup} is a backup of another instance`);
  }
  if (shard.state === 'shredded') {
    throw wrongField('/backupId', `the data key of ${backup} was destroyed on purpose`);
  }
}

function placeOf(second: number, ranges: readonly { from: number; to: number }[]): string {
  const [first, last] = [ranges[0], ranges.at(-1)];
  if (first !== undefined && second < first.from) {
    return `history begins at ${formatSecond(first.from)}`;
  }
  if (last !== undefined && second > last.to) {
    return `the last second so far is ${formatSecond(last.to)}`;
  }
  return 'it lies outside the windows';
}

function holeAt(catalog: Catalog, instance: string, second: number): PlanError | null {
  const { ranges, gaps } = commonWindows(shardWindows(catalog, instance));
  if (ranges.some(({ from, to }) => from <= second && second <= to)) return null;
  const gap = gaps.find(({ from, to }) => from <= second && second <= to);
  const timed = ranges.map((range) => ({ ...range, timeline: '' }));
  const { before, after } = nearestRestorable({ ranges: timed }, second);
  const why =
    gap === undefined
      ? placeOf(second, ranges)
      : `gap ${formatSecond(gap.from)} to ${formatSecond(gap.to)}: ${gap.reason}`;
  return new PlanError(
    'TM_TIME_NOT_RESTORABLE',
    `${formatSecond(second)} is not restorable (${why})`,
    {
      context: { second, nearestBefore: before, nearestAfter: after },
      hint: `see what there is: GET /v1/instances/${instance}/windows`,
    },
  );
}
