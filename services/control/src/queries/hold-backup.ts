import { findBackupDocuments, type ListedBackup } from './backups.ts';
import { holdInLog, type ChangeParts, type ChangePorts } from './backup-labels.ts';

/**
 * Holds a backup, so that retention keeps it and what follows it, or releases it. Said in the log of
 * its instance: it holds whatever becomes of this host. The catalog is up to date.
 * @returns All shards of the backup, as they are now.
 * @throws UsageError `TM_NOT_FOUND`, `TM_BACKUP_DELETED`; CatalogError, StoreError.
 */
export async function holdBackup(
  backup: string,
  hold: boolean,
  parts: ChangeParts,
  ports: ChangePorts,
): Promise<readonly ListedBackup[]> {
  const shards = findBackupDocuments(parts.catalog, backup);
  const [{ instance }] = shards;
  const fromSecond = Math.min(...parts.catalog.backupNamed(backup).map(({ from }) => from));
  await holdInLog({ instance, backup }, { hold, fromSecond }, parts, ports);
  return shards.map((shard) => ({ ...shard, hold }));
}
