import {
  holdOf,
  noteOf,
  withoutShredded,
  type BackupNote,
  type Catalog,
  type CatalogSnapshot,
  type InstanceState,
} from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import { formatSecond } from '@tidemark/workspace';
import { deletedBackup } from './backup-labels.ts';
import { knownInstance } from './known-instance.ts';

/** A backup of one shard, as `backup list` and the API show it. Times RFC 3339 UTC. */
export interface BackupDocument {
  readonly id: string;
  /**
   * `shredded`: its data key was destroyed; it cannot be read any more. `deleted`: somebody gave it up;
   * retention lets go of it.
   */
  readonly state: 'complete' | 'shredded' | 'deleted';
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
  /** Words that its owner put to it. */
  readonly labels: Readonly<Record<string, string>>;
  /** Who gave it up, and when; null = it is there. */
  readonly deleted: { readonly by: string; readonly at: string } | null;
}

/** A label that backups must have. */
export interface WantedLabel {
  readonly key: string;
  readonly value: string;
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
  /** Null = all but those that are deleted. */
  readonly state: BackupDocument['state'] | null;
  /** All of these. */
  readonly labels?: readonly WantedLabel[];
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

/**
 * Every backup of an instance, by timeline and offset.
 * @param state - Null = all but those that are deleted.
 */
export function backupDocuments(
  catalog: Catalog,
  id: string,
  { state = null, labels = [] }: Partial<Pick<BackupQuestion, 'state' | 'labels'>> = {},
): BackupDocument[] {
  const stored = catalog.snapshots(id);
  const known = catalog.instance(id);
  const readable = new Set(withoutShredded(stored, known));
  const notes = notesOf(known);
  return stored
    .map((snapshot) => documentOf(snapshot, readable.has(snapshot), notes.get(snapshot.backup)))
    .filter((document) => isWanted(document, { state, labels }));
}

/**
 * Backups of an instance, newest first, a page at a time.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function backupPage(catalog: Catalog, id: string, question: BackupQuestion): BackupPage {
  const state = knownInstance(catalog, id);
  const { fromMs, toMs, pageSize } = question;
  const found: ListedBackup[] = [];
  const notes = notesOf(state);
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
      const note = notes.get(snapshot.backup);
      const document = listedOf(snapshot, readable.has(snapshot), state, note);
      if (isWanted(document, question)) found.push(document);
    }
    if (rows.length <= pageSize) return { backups: found, next: null };
  }
}

/**
 * All shards of one backup.
 * @param options - `deleted`: also one that somebody gave up.
 * @throws UsageError `TM_NOT_FOUND`, `TM_BACKUP_DELETED`.
 */
export function findBackupDocuments(
  catalog: Catalog,
  backup: string,
  { deleted = false }: { readonly deleted?: boolean } = {},
): readonly [ListedBackup, ...ListedBackup[]] {
  const [first, ...rest] = catalog.backupNamed(backup).map((snapshot) => {
    const { iid } = snapshot.object;
    const state = catalog.instance(iid);
    const isReadable = withoutShredded([snapshot], state).length === 1;
    const note = noteOf(state.backups, backup) ?? undefined;
    if (note?.deleted != null && !deleted) throw deletedBackup(iid, backup);
    return listedOf(snapshot, isReadable, state, note);
  });
  if (first !== undefined) return [first, ...rest];
  throw new UsageError('TM_NOT_FOUND', `there is no backup ${backup}`, {
    hint: 'tidemark backup list ID',
  });
}

function listedOf(
  snapshot: CatalogSnapshot,
  isReadable: boolean,
  { leases }: Pick<InstanceState, 'leases'>,
  note: BackupNote | undefined,
): ListedBackup {
  const held = holdOf(snapshot.backup);
  const hold = leases.some(({ lease }) => lease === held);
  return { instance: snapshot.object.iid, ...documentOf(snapshot, isReadable, note), hold };
}

function notesOf({ backups }: InstanceState): ReadonlyMap<string, BackupNote> {
  return new Map(backups.map((note) => [note.backup, note]));
}

function isWanted(
  document: BackupDocument,
  { state, labels = [] }: Pick<BackupQuestion, 'state' | 'labels'>,
): boolean {
  const isState = state === null ? document.state !== 'deleted' : document.state === state;
  return isState && labels.every(({ key, value }) => document.labels[key] === value);
}

function documentOf(
  snapshot: CatalogSnapshot,
  isReadable: boolean,
  note: BackupNote | undefined,
): BackupDocument {
  const deleted = note?.deleted ?? null;
  return {
    id: snapshot.backup,
    state: deleted !== null ? 'deleted' : isReadable ? 'complete' : 'shredded',
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
    labels: Object.fromEntries((note?.labels ?? []).map(({ key, value }) => [key, value])),
    deleted: deleted && { by: deleted.by, at: formatSecond(Math.floor(deleted.atMs / 1000)) },
  };
}
