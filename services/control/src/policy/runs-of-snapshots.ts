import type { CatalogSnapshot } from '@tidemark/catalog';
import type { PolicyRun } from './policy.ts';
import type { InstanceTimes } from './policy-desk.ts';

/**
 * The runs that backups stand for, of those that this host has no note of: of each automated backup
 * the newest run at or before its beginning.
 */
export function runsOfSnapshots(
  instance: string,
  snapshots: readonly Pick<CatalogSnapshot, 'backup' | 'mode' | 'startedMs'>[],
  { table, staggerMs }: InstanceTimes,
  nowMs: number,
): readonly PolicyRun[] {
  const runs = new Map<number, PolicyRun>();
  for (const { backup, mode, startedMs } of snapshots) {
    if (mode !== 'automated' || startedMs > nowMs) continue;
    const dueMs = table.last(startedMs - staggerMs) ?? table.last(startedMs);
    if (dueMs === null) continue;
    const reason = `${backup} was made since; this host has no note of the run itself`;
    runs.set(dueMs, { instance, dueMs, state: 'made', job: null, reason, atMs: nowMs });
  }
  return [...runs.values()].sort((a, b) => a.dueMs - b.dueMs);
}
