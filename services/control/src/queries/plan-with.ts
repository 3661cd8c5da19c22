import {
  planRetention,
  TOMBSTONE_BACKUPS_MAX,
  TOMBSTONE_WRITERS_MAX,
  type BackupNote,
  type RetentionPlan,
} from '@tidemark/catalog';
import { retentionRules, type Workspace } from '@tidemark/workspace';

/** Whether a backup is among what retention would let go. */
export function goesWith({ dropped, steps }: RetentionPlan, backup: string): boolean {
  return (
    dropped.some((one) => one.backup === backup) ||
    steps.some(({ backups }) => backups.includes(backup))
  );
}

/** What retention would let go with a backup deleted or not: all at once, or in its next run. */
export function planWith(
  { catalog, config }: Pick<Workspace, 'catalog' | 'config'>,
  instance: string,
  note: Omit<BackupNote, 'labels'>,
  { atMs: nowMs, all }: { readonly atMs: number; readonly all: boolean },
): RetentionPlan {
  const known = catalog.instance(instance);
  const others = known.backups.filter(({ backup }) => backup !== note.backup);
  const backups = [...others, { ...note, labels: [] }];
  const rules = retentionRules(config);
  const { policy, leases } = known;
  return catalog.retention((ask) =>
    planRetention({
      shards: ask.shards(instance, false, { ...known, backups }),
      retainSeconds: policy?.retainSeconds ?? rules.retainSeconds,
      keepLast: policy?.keepLast ?? rules.keepLast ?? 1,
      ...{ leases, nowMs, shareMax: all ? 1 : rules.shareMax },
      ...{ writersMax: TOMBSTONE_WRITERS_MAX, backupsMax: TOMBSTONE_BACKUPS_MAX },
      sizes: {
        total: ask.total(instance),
        below: (floor) => ask.below(instance, floor),
        ofBackup: (name, writer) => ask.ofBackup(instance, name, writer),
      },
    }),
  );
}
