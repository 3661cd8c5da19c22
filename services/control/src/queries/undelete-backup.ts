import {
  noteOf,
  withFloors,
  type Catalog,
  type InstanceEvent,
  type InstanceState,
  type RetentionFloor,
  type RetentionShard,
} from '@tidemark/catalog';
import { CatalogError, KeyError, UsageError } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { logOf, type ChangeParts, type ChangePorts } from './backup-labels.ts';
import { findBackupDocuments } from './backups.ts';
import { goesWith, planWith } from './plan-with.ts';

/** What taking a deletion back did, as `backup undelete` and the API show it. */
export interface UndeletedBackup {
  readonly backup: string;
  readonly instance: string;
  /** It was not deleted: nothing changed. */
  readonly again: boolean;
  /** The mark of retention that was taken back with it; its next run marks the rest anew. */
  readonly revoked: string | null;
  /** Retention lets go of it for its age all the same, unless it is held. */
  readonly goesByAge: boolean;
}

/** Times that retention marks it again while its mark is taken back. */
const MARKS_MAX = 8;

/**
 * Takes the deletion of a backup back, while retention has not begun to delete its objects: said in the
 * log of its instance, which decides between the two. Where it is marked already the mark is taken back
 * first, whole, as by `expire --revoke`. Said again it changes nothing. The catalog is up to date.
 * @throws UsageError `TM_NOT_FOUND`, `TM_BACKUP_DELETED` when its deletion has begun; KeyError
 *   `TM_KEY_SHREDDED`; CatalogError, StoreError.
 */
export async function undeleteBackup(
  backup: string,
  by: string,
  workspace: ChangeParts & Pick<Workspace, 'config' | 'sync'>,
  ports: ChangePorts,
): Promise<UndeletedBackup> {
  const { catalog } = workspace;
  const instance = instanceOf(catalog, backup);
  const log = await logOf(instance, workspace, ports);
  const atMs = ports.clock.nowMs();
  let revoked: string | null = null;
  let again = false;
  for (let marks = 0; ; marks++) {
    let said: InstanceEvent | null = null;
    await log.append((state) => {
      said = nextOf(state, backup, { by, atMs }, catalog);
      return said;
    });
    // Set by the append, which the compiler does not see.
    const event = said as InstanceEvent | null;
    again = event === null;
    if (event?.type !== 'ExpiryRevoked') break;
    revoked = event.tombstone;
    if (marks === MARKS_MAX) {
      throw new CatalogError('TM_BUSY', 'retention marks the backup again and again', {
        context: { instance, backup },
        hint: 'try again; another host runs retention now',
      });
    }
  }
  await workspace.sync(ports.signal, instance);
  const plan = planWith(workspace, instance, { backup, deleted: null }, { atMs, all: true });
  return { backup, instance, again, revoked, goesByAge: goesWith(plan, backup) };
}

/** Of the instance that says that it is deleted, else of the one that shows it. */
function instanceOf(catalog: Catalog, backup: string): string {
  const known = catalog.instances().find(({ backups }) => noteOf(backups, backup)?.deleted != null);
  return known?.iid ?? findBackupDocuments(catalog, backup)[0].instance;
}

/** What is to be said next; null = nothing. */
function nextOf(
  state: InstanceState,
  backup: string,
  { by, atMs }: { readonly by: string; readonly atMs: number },
  catalog: Catalog,
): InstanceEvent | null {
  if (noteOf(state.backups, backup)?.deleted == null) return null;
  const { floors, dropped, tombstone } = state.expiry;
  const mark = tombstone?.begun === false ? tombstone : null;
  const instance = state.iid ?? '';
  // What the tables hide by now does not matter: the floors of this state do.
  const shards = catalog.retention((ask) => ask.shards(instance, true, state));
  const left = partsOf(backup, shards, mark?.before ?? floors);
  const isMarked = mark?.backups.includes(backup) === true;
  if (left.length === 0 || (dropped.includes(backup) && !isMarked)) throw begun(instance, backup);
  if (left.some(({ shredded }) => shredded === true)) throw shredded(instance, backup);
  if (mark !== null && (isMarked || partsOf(backup, shards, floors).length < left.length)) {
    return { type: 'ExpiryRevoked', tombstone: mark.tombstone, atMs };
  }
  return { type: 'BackupUndeleted', backup, by, atMs };
}

/** The snapshots of a backup above floors. */
function partsOf(
  backup: string,
  shards: readonly RetentionShard[],
  floors: readonly RetentionFloor[],
): readonly { readonly shredded?: boolean }[] {
  return shards
    .flatMap((shard) => withFloors(shard, floors).writers)
    .flatMap(({ timelines }) => timelines.flatMap(({ snapshots }) => snapshots))
    .filter((snapshot) => snapshot.backup === backup);
}

function begun(instance: string, backup: string): UsageError {
  const message = `retention has begun to delete backup ${backup}: nobody can have it back`;
  return new UsageError('TM_BACKUP_DELETED', message, {
    context: { instance, backup },
    hint: `its seconds may be restorable from an older one: tidemark windows ${instance}`,
  });
}

function shredded(instance: string, backup: string): KeyError {
  const message = `the key of backup ${backup} was destroyed: nobody can read it any more`;
  return new KeyError('TM_KEY_SHREDDED', message, { context: { instance, backup } });
}
