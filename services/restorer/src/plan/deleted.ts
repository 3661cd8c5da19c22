import { noteOf, type Catalog } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';

/**
 * Refuses a backup that somebody gave up as the source of anything new. Times that it serves stay
 * restorable as long as their history is kept.
 * @throws UsageError `TM_BACKUP_DELETED`.
 */
export function refuseDeleted(catalog: Catalog, instance: string, backup: string): void {
  const { deleted } = noteOf(catalog.instance(instance).backups, backup) ?? { deleted: null };
  if (deleted === null) return;
  throw new UsageError('TM_BACKUP_DELETED', `backup ${backup} was deleted`, {
    context: { instance, backup, by: deleted.by, atMs: deleted.atMs },
    hint: `choose another one, or a second: tidemark backup list ${instance}`,
  });
}
