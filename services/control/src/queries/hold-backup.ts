import { openInstanceLog } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { findBackupDocuments, holdOf, type ListedBackup } from './backups.ts';

/**
 * Holds a backup, so that retention keeps it and what follows it, or releases it. Said in the log of
 * its instance: it holds whatever becomes of this host. The catalog is up to date.
 * @returns All shards of the backup, as they are now.
 * @throws UsageError `TM_NOT_FOUND`; CatalogError, StoreError.
 */
export async function holdBackup(
  backup: string,
  hold: boolean,
  { store, keys, catalog }: Pick<Workspace, 'store' | 'keys' | 'catalog'>,
  ports: { readonly clock: Clock; readonly random: Random; readonly signal: AbortSignal },
): Promise<readonly ListedBackup[]> {
  const shards = findBackupDocuments(catalog, backup);
  const iid = shards[0].instance;
  const lease = holdOf(backup);
  const fromSecond = Math.min(...catalog.backupNamed(backup).map(({ from }) => from));
  const logKey = await keys.logKey(iid);
  const log = await openInstanceLog({
    ...{ store, iid, logKey, keyProven: true, from: catalog.instance(iid) },
    ...ports,
  });
  const atMs = ports.clock.nowMs();
  await log.append(({ leases }) => {
    const isHeld = leases.some((each) => each.lease === lease);
    if (isHeld === hold) return null;
    if (!hold) return { type: 'LeaseReleased', lease, atMs };
    return { type: 'LeaseTaken', lease, purpose: 'hold', fromSecond, untilMs: atMs, atMs };
  });
  return shards.map((shard) => ({ ...shard, hold }));
}
