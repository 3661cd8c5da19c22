import {
  BACKUP_NOTES_MAX,
  FORGOTTEN_PER_ENTRY_MAX,
  LABEL_KEY_MAX,
  LABEL_VALUE_MAX,
  LABELS_MAX,
  type BackupLabel,
  type BackupNote,
} from '../instance-backups.ts';
import { id, ms } from './common.ts';
import { fields, listOf, nullable, text, type Shape } from './shape.ts';

const actorName: Shape<string> = text(64, /^[A-Za-z0-9._@-]+$/);

/**
 * No control characters, line ends or marks that turn the direction of a text; named one by one: what
 * one host writes must be the same to all, whichever Unicode they know.
 */
const PRINTABLE = /^[^\p{Cc}\p{Surrogate}\u2028-\u202e\u2066-\u2069\u200b-\u200f\ufeff]*$/u;

/** Nothing that a terminal or a reader would take for something else. */
const labels: Shape<readonly BackupLabel[]> = listOf(
  fields<BackupLabel>({
    key: text(LABEL_KEY_MAX, /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/),
    value: text(LABEL_VALUE_MAX, PRINTABLE),
  }),
  LABELS_MAX,
);

/** Events of single backups as they stand in the header of an entry. */
export const backupEventShapes = {
  BackupLabelled: { backup: id, labels, by: actorName, atMs: ms },
  BackupDeleted: { backup: id, by: actorName, atMs: ms },
  BackupUndeleted: { backup: id, by: actorName, atMs: ms },
  BackupsForgotten: { backups: listOf(id, FORGOTTEN_PER_ENTRY_MAX), atMs: ms },
} as const;

/** What is said of backups, in the fold of an instance log. */
export const backupNotes: Shape<readonly BackupNote[]> = listOf(
  fields<BackupNote>({
    backup: id,
    labels,
    deleted: nullable(fields({ by: actorName, atMs: ms })),
  }),
  BACKUP_NOTES_MAX,
);
