import type { ExpiryState } from './instance-expiry.ts';
import type { Lease } from './instance-state.ts';

/** A word that its owner put to a backup. It stands in the log in clear text: never a secret. */
export interface BackupLabel {
  readonly key: string;
  readonly value: string;
}

/** The labels of a backup from here on; none takes them all away. */
export interface BackupLabelled {
  readonly type: 'BackupLabelled';
  readonly backup: string;
  /** By key, each key once. */
  readonly labels: readonly BackupLabel[];
  /** The name of an actor. */
  readonly by: string;
  readonly atMs: number;
}

/**
 * Somebody gave a backup up: it can be asked for no more, and retention lets go of it once nothing that
 * is kept needs it.
 */
export interface BackupDeleted {
  readonly type: 'BackupDeleted';
  readonly backup: string;
  readonly by: string;
  readonly atMs: number;
}

/** Somebody took a deletion back, before retention let go of the backup: it is there again. */
export interface BackupUndeleted {
  readonly type: 'BackupUndeleted';
  readonly backup: string;
  readonly by: string;
  readonly atMs: number;
}

/** Retention has let go of these: what was said of them is forgotten. */
export interface BackupsForgotten {
  readonly type: 'BackupsForgotten';
  readonly backups: readonly string[];
  readonly atMs: number;
}

/** An event of single backups. */
export type BackupEvent = BackupLabelled | BackupDeleted | BackupUndeleted | BackupsForgotten;

/** What an instance log says of one backup. */
export interface BackupNote {
  readonly backup: string;
  readonly labels: readonly BackupLabel[];
  /** Null: it is there. */
  readonly deleted: { readonly by: string; readonly atMs: number } | null;
}

/** Backups of one instance of which something is said. */
export const BACKUP_NOTES_MAX = 4096;

/** Labels of one backup, and characters of their keys and values. */
export const LABELS_MAX = 16;
export const LABEL_KEY_MAX = 63;
export const LABEL_VALUE_MAX = 255;

/** Characters of all labels of an instance: they are in its fold, which is read and written whole. */
export const LABEL_CHARS_MAX = 262_144;

/** Backups that one entry forgets, so that it fits into a header. */
export const FORGOTTEN_PER_ENTRY_MAX = 512;

/** The lease that holds a backup. */
export function holdOf(backup: string): string {
  return `hold-${backup}`;
}

/** What is said of a backup; null when nothing is. */
export function noteOf(notes: readonly BackupNote[], backup: string): BackupNote | null {
  return notes.find((one) => one.backup === backup) ?? null;
}

/** Names of the backups that were given up. */
export function deletedBackups(notes: readonly BackupNote[]): ReadonlySet<string> {
  return new Set(notes.flatMap(({ backup, deleted }) => (deleted === null ? [] : [backup])));
}

/** What of the fold decides about backups. */
interface Known {
  readonly backups: readonly BackupNote[];
  readonly leases: readonly Pick<Lease, 'lease'>[];
  readonly expiry: Pick<ExpiryState, 'dropped'>;
}

/** Why an event of a backup may not follow; null when it may. */
export function backupRefusal(
  { backups, leases, expiry }: Known,
  event: BackupEvent,
): string | null {
  if (event.type === 'BackupsForgotten') {
    return event.backups.length === 0 ? 'it names no backup' : null;
  }
  const known = noteOf(backups, event.backup);
  if (event.type === 'BackupUndeleted') {
    if (known?.deleted == null) return 'the backup is not deleted';
    return expiry.dropped.includes(event.backup) ? 'retention has let go of the backup' : null;
  }
  if (known?.deleted != null) return 'the backup is deleted';
  if (known === null && backups.length >= BACKUP_NOTES_MAX) {
    return `more than ${BACKUP_NOTES_MAX} backups of which something is said`;
  }
  if (event.type === 'BackupDeleted') {
    const held = holdOf(event.backup);
    return leases.some(({ lease }) => lease === held) ? 'the backup is held' : null;
  }
  const { labels } = event;
  if (labels.some(({ key }, index) => index > 0 && key <= (labels[index - 1]?.key ?? ''))) {
    return 'labels are not in the order of their keys, or one is there twice';
  }
  const others = backups.filter(({ backup }) => backup !== event.backup);
  const chars = others.reduce((sum, one) => sum + charsOf(one.labels), charsOf(labels));
  return chars > LABEL_CHARS_MAX ? `more than ${LABEL_CHARS_MAX} characters of labels` : null;
}

/** Why backups may not be let go of singly; null when they may: they are deleted, and none twice. */
export function dropRefusal(
  { backups, expiry }: Pick<Known, 'backups' | 'expiry'>,
  dropped: readonly string[],
): string | null {
  const deleted = deletedBackups(backups);
  if (dropped.some((name) => !deleted.has(name))) return 'it names a backup that is not deleted';
  const again = dropped.some((name) => expiry.dropped.includes(name));
  return again ? 'it names a backup that is gone' : null;
}

/** Why a hold may not be taken; null when it may, or when the lease is none of a backup. */
export function holdRefusal({ backups }: Pick<Known, 'backups'>, lease: string): string | null {
  const gone = backups.some(({ backup, deleted }) => deleted !== null && holdOf(backup) === lease);
  return gone ? 'the backup is deleted' : null;
}

/** What is said of backups after an event of one; by the name of the backup. */
export function backupsAfter(
  notes: readonly BackupNote[],
  event: BackupEvent,
): readonly BackupNote[] {
  if (event.type === 'BackupsForgotten') {
    const gone = new Set(event.backups);
    return notes.filter(({ backup }) => !gone.has(backup));
  }
  const { backup, by, atMs } = event;
  const known = noteOf(notes, backup) ?? { backup, labels: [], deleted: null };
  const note =
    event.type === 'BackupLabelled'
      ? { ...known, labels: event.labels }
      : { ...known, deleted: event.type === 'BackupDeleted' ? { by, atMs } : null };
  const others = notes.filter((one) => one.backup !== backup);
  if (note.labels.length === 0 && note.deleted === null) return others;
  return [...others, note].sort((a, b) => (a.backup < b.backup ? -1 : 1));
}

function charsOf(labels: readonly BackupLabel[]): number {
  return labels.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
}
