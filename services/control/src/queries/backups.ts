import { withoutShredded, type Catalog, type CatalogSnapshot } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import { formatSecond } from '@tidemark/workspace';
import { knownInstance } from './known-instance.ts';

/** A backup of one shard, as `backup list` and the API show it. Times RFC 3339 UTC. */
export interface BackupDocument {
  readonly id: string;
  /** `shredded`: its data key was destroyed; it cannot be read any more. */
  readonly state: 'complete' | 'shredded';
  readonly mode: CatalogSnapshot['mode'];
  readonly shard: string;
  /** Sealed bytes in the store. */
  readonly size: number;
  readonly rdbBytes: number;
  readonly keys: number;
  readonly start: string;
  readonly end: string;
  /** First second that can be restored from it. */
  readonly from: string;
  readonly timeline: string;
  readonly offset: string;
}

/** What the API adds to it. */
export interface ListedBackup extends BackupDocument {
  readonly instance: string;
  /** Held: retention keeps it, and what follows it, until it is released. */
  readonly hold: boolean;
}

/** Which backups are wanted; seconds are those of their end. */
export interface BackupQuestion {
  readonly fromMs: number | null;
  /** Inclusive. */
  readonly toMs: number | null;
  readonly state: BackupDocument['state'] | null;
  /** 1 to 500. */
  readonly pageSize: number;
  /** Where the page before ended. */
  readonly before: BackupPlace | null;
}

/** A place in the order of pages. */
export interface BackupPlace {
  readonly startedMs: number;
  readonly row: number;
}

/** One page of backups, newest first. */
export interface BackupPage {
  readonly backups: readonly ListedBackup[];
  /** Where it ends; null when it is the last one. */
  readonly next: BackupPlace | null;
}

/** Every backup of an instance, by timeline and offset. */
export function backupDocuments(catalog: Catalog, id: string): BackupDocument[] {
  const stored = catalog.snapshots(id);
  const readable = new Set(withoutShredded(stored, catalog.instance(id)));
  return stored.map((snapshot) => documentOf(snapshot, readable.has(snapshot)));
}

/**
 * Backups of an instance, newest first, a page at a time.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function backupPage(catalog: Catalog, id: string, question: BackupQuestion): BackupPage {
  const state = knownInstance(catalog, id);
  const { fromMs, toMs, pageSize } = question;
  const found: ListedBackup[] = [];
  let { before } = question;
  for (;;) {
    const rows = catalog.backupPage(id, { fromMs, toMs, before, limit: pageSize + 1 });
    const readable = new Set(
      withoutShredded(
        rows.map(({ snapshot }) => snapshot),
        state,
      ),
    );
    for (const { snapshot, row } of rows) {
      if (found.length === pageSize) return { backups: found, next: before };
      before = { startedMs: snapshot.startedMs, row };
      const document = listedOf(snapshot, id, readable.has(snapshot), state.leases);
      if (question.state === null || document.state === question.state) found.push(document);
    }
    if (rows.length <= pageSize) return { backups: found, next: null };
  }
}

/**
 * All shards of one backup.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function findBackupDocuments(
  catalog: Catalog,
  backup: string,
): readonly [ListedBackup, ...ListedBackup[]] {
  const [first, ...rest] = catalog.backupNamed(backup).map((snapshot) => {
    const { iid } = snapshot.object;
    const state = catalog.instance(iid);
    const isReadable = withoutShredded([snapshot], state).length === 1;
    return listedOf(snapshot, iid, isReadable, state.leases);
  });
  if (first !== undefined) return [first, ...rest];
  throw new UsageError('TM_NOT_FOUND', `there is no backup ${backup}`, {
    hint: 'tidemark backup list ID',
  });
}

/** The lease that holds a backup. */
export function holdOf(backup: string): string {
  return `hold-${backup}`;
}

function listedOf(
  snapshot: CatalogSnapshot,
  instance: string,
  isReadable: boolean,
  leases: readonly { readonly lease: string }[],
): ListedBackup {
  const held = holdOf(snapshot.backup);
  const hold = leases.some(({ lease }) => lease === held);
  return { instance, ...documentOf(snapshot, isReadable), hold };
}

function documentOf(snapshot: CatalogSnapshot, isReadable: boolean): BackupDocument {
  return {
    id: snapshot.backup,
    state: isReadable ? 'complete' : 'shredded',
    mode: snapshot.mode,
    shard: snapshot.object.shard,
    size: snapshot.object.size,
    rdbBytes: snapshot.rdbBytes,
    keys: snapshot.summary.keys,
    start: formatSecond(Math.floor(snapshot.startedMs / 1000)),
    end: formatSecond(Math.floor(snapshot.endedMs / 1000)),
    from: formatSecond(snapshot.from),
    timeline: snapshot.timeline,
    offset: snapshot.offset.toString(),
  };
}
