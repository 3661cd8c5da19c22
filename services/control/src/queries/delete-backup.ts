import {
  holdOf,
  noteOf,
  withoutShredded,
  type Amount,
  type Catalog,
  type InstanceState,
} from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import { formatSecond, type Workspace } from '@tidemark/workspace';
import { logOf, type ChangeParts, type ChangePorts } from './backup-labels.ts';
import { findBackupDocuments } from './backups.ts';
import { goesWith, planWith } from './plan-with.ts';

/** How a backup is deleted. */
export interface DeleteOptions {
  /** The name of an actor. */
  readonly by: string;
  /** Also the last good one of a shard. */
  readonly last: boolean;
  /** Say what would go; do nothing. */
  readonly dryRun: boolean;
}

/** What the deletion of a backup did, or would do, as `backup delete` and the API show it. */
export interface DeletedBackup {
  readonly backup: string;
  readonly instance: string;
  readonly shards: readonly string[];
  readonly dryRun: boolean;
  /** It was deleted before. */
  readonly again: boolean;
  /** Sealed bytes in the store, of all shards. */
  readonly size: number;
  /**
   * What retention lets go for it, marked by its next run and deleted after the grace; zero while the
   * backup is needed.
   */
  readonly frees: Amount;
  /**
   * `seconds`: it stays in the store, unseen, until seconds that can only be restored from it are older
   * than the retention, or a lease that reads it ends. `share`: these are older by now, but with them goes
   * more than one run may let go for its age.
   */
  readonly keptFor: 'seconds' | 'share' | null;
  /** First second that can be restored now, and once retention has run, RFC 3339 UTC; null = none. */
  readonly earliest: string | null;
  readonly earliestAfter: string | null;
}

/**
 * Gives a backup up: it is listed no more and nothing new is made from it; seconds that it serves stay
 * restorable, and retention deletes its objects once nothing that is kept needs it. Said in the log of
 * its instance; said again it changes nothing. The catalog is up to date.
 * @throws UsageError `TM_NOT_FOUND`, `TM_BACKUP_HELD`, `TM_BACKUP_LAST`; CatalogError, StoreError.
 */
export async function deleteBackup(
  backup: string,
  { by, last, dryRun }: DeleteOptions,
  workspace: ChangeParts & Pick<Workspace, 'config'>,
  ports: ChangePorts,
): Promise<DeletedBackup> {
  const { catalog } = workspace;
  const documents = findBackupDocuments(catalog, backup, { deleted: true });
  const [{ instance }] = documents;
  const atMs = ports.clock.nowMs();
  const refuse = (state: InstanceState): void => {
    refuseHeld(state, backup);
    if (!last) refuseLast(catalog, state, backup);
  };
  const known = catalog.instance(instance);
  let again = isDeleted(known, backup);
  if (!again && dryRun) refuse(known);
  if (!again && !dryRun) {
    const log = await logOf(instance, workspace, ports);
    const seq = await log.append((state) => {
      if (isDeleted(state, backup)) return null;
      refuse(state);
      return { type: 'BackupDeleted', backup, by, atMs };
    });
    again = seq === null;
  }
  const kept = planWith(workspace, instance, { backup, deleted: null }, { atMs, all: true });
  const note = { backup, deleted: { by, atMs } };
  const plan = planWith(workspace, instance, note, { atMs, all: true });
  const next = planWith(workspace, instance, note, { atMs, all: false });
  return {
    ...{ backup, instance, dryRun, again },
    shards: documents.map(({ shard }) => shard),
    size: documents.reduce((sum, { size }) => sum + size, 0),
    frees: {
      objects: Math.max(0, plan.amount.objects - kept.amount.objects),
      bytes: Math.max(0, plan.amount.bytes - kept.amount.bytes),
    },
    keptFor: goesWith(next, backup) ? null : goesWith(plan, backup) ? 'share' : 'seconds',
    earliest: secondOf(plan.earliestBefore),
    earliestAfter: secondOf(plan.earliestAfter),
  };
}

function isDeleted({ backups }: InstanceState, backup: string): boolean {
  return noteOf(backups, backup)?.deleted != null;
}

function refuseHeld({ leases }: InstanceState, backup: string): void {
  const held = holdOf(backup);
  if (!leases.some(({ lease }) => lease === held)) return;
  throw new UsageError('TM_BACKUP_HELD', `backup ${backup} is held`, {
    context: { backup },
    hint: `release it first: tidemark backup release ${backup}, or PATCH /v1/backups/${backup} {"hold":false}`,
  });
}

/** The last one that can be opened and is not deleted, of any of its shards. */
function refuseLast(catalog: Catalog, state: InstanceState, backup: string): void {
  const instance = state.iid ?? '';
  const good = withoutShredded(catalog.snapshots(instance), state);
  const others = good.filter((one) => one.backup !== backup && !isDeleted(state, one.backup));
  for (const { backup: name, object } of good) {
    if (name !== backup || others.some((one) => one.object.shard === object.shard)) continue;
    throw new UsageError(
      'TM_BACKUP_LAST',
      `${backup} is the last good backup of shard ${object.shard} of ${instance}`,
      {
        context: { instance, backup, shard: object.shard },
        hint: 'make another one first, or ask for it: --last, ?last=true',
      },
    );
  }
}

function secondOf(second: number | null): string | null {
  return second === null ? null : formatSecond(second);
}
