import { pageQuery } from '../pages.ts';
import { backupId, digits, nextPageToken, time, utcTime } from './common.ts';

/** A backup of one shard in an answer. */
export const BackupSchema = {
  $id: 'Backup',
  type: 'object',
  description: 'A full snapshot of one shard.',
  required: [
    ...['instance', 'id', 'state', 'mode', 'shard', 'size', 'rdbBytes', 'keys', 'start', 'end'],
    ...['from', 'timeline', 'offset', 'hold', 'labels', 'deleted'],
  ],
  properties: {
    instance: { type: 'string' },
    id: backupId,
    state: {
      enum: ['complete', 'shredded', 'deleted'],
      description:
        'shredded: its data key was destroyed, nobody can read it any more. deleted: somebody gave it up.',
    },
    mode: {
      enum: ['attach', 'automated', 'manual'],
      description: 'attach: made when the capture began.',
    },
    shard: { type: 'string' },
    size: { type: 'integer', description: 'Sealed bytes in the store.' },
    rdbBytes: { type: 'integer', description: 'Bytes of the RDB.' },
    keys: { type: 'integer' },
    start: utcTime,
    end: utcTime,
    from: { ...utcTime, description: 'The first second that can be restored from it.' },
    timeline: { type: 'string' },
    offset: digits,
    hold: { type: 'boolean', description: 'Retention keeps it until it is released.' },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    deleted: {
      type: ['object', 'null'],
      required: ['by', 'at'],
      properties: { by: { type: 'string' }, at: utcTime },
      description: 'Who gave it up, and when.',
    },
  },
} as const;

/** The path of one backup. */
export const backupParams = {
  type: 'object',
  additionalProperties: false,
  required: ['backup'],
  properties: { backup: backupId },
} as const;

/** Which backups are listed. */
export const backupsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...pageQuery,
    start: { ...time, description: 'Backups that ended at this time or later.' },
    end: { ...time, description: 'Backups that ended at this time or earlier.' },
    state: {
      type: 'string',
      enum: ['complete', 'shredded', 'deleted'],
      description: 'Default: all but those that were deleted.',
    },
    label: {
      type: 'string',
      maxLength: 319,
      pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[^\\p{Cc}]*$',
      description: 'Backups with this label: key=value.',
    },
  },
} as const;

/** A page of backups. */
export const BackupList = {
  type: 'object',
  required: ['instance', 'backups', 'nextPageToken'],
  properties: {
    instance: { type: 'string' },
    backups: { type: 'array', items: { $ref: 'Backup#' }, description: 'Newest first.' },
    nextPageToken,
  },
} as const;

/** All shards of one backup. */
export const BackupShards = {
  type: 'object',
  required: ['id', 'instance', 'shards'],
  properties: {
    id: backupId,
    instance: { type: 'string' },
    shards: { type: 'array', minItems: 1, items: { $ref: 'Backup#' } },
  },
} as const;

const labelValue = { type: 'string', maxLength: 255, pattern: '^[^\\p{Cc}]*$' } as const;
const labelNames = { pattern: '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$' } as const;

/** What a backup is made with. */
export const BackupRequest = {
  type: 'object',
  additionalProperties: false,
  properties: {
    labels: {
      type: 'object',
      maxProperties: 16,
      propertyNames: labelNames,
      additionalProperties: labelValue,
      description: 'Words put to it, in clear text in the log: never a secret.',
    },
    hold: {
      type: 'boolean',
      default: false,
      description: 'Held from its birth: retention keeps it, and what follows it.',
    },
  },
} as const;

/** What of a backup can be changed. */
export const BackupPatch = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  properties: {
    labels: {
      type: 'object',
      maxProperties: 32,
      propertyNames: labelNames,
      additionalProperties: { anyOf: [labelValue, { type: 'null' }] },
      description: 'Words to put to it; null takes one away, others stay. At most 16 in all.',
    },
    hold: {
      type: 'boolean',
      description: 'true: retention keeps it, and what follows it, until this is false again.',
    },
  },
} as const;

/** How a backup is deleted. */
export const deleteQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    dryRun: { type: 'boolean', default: false, description: 'Say what would go; do nothing.' },
    last: {
      type: 'boolean',
      default: false,
      description: 'Also the last good backup of a shard.',
    },
  },
} as const;

/** What the deletion of a backup did, or would do. */
export const DeletedBackup = {
  type: 'object',
  required: [
    ...['backup', 'instance', 'shards', 'dryRun', 'again', 'size', 'frees', 'keptFor'],
    ...['earliest', 'earliestAfter'],
  ],
  properties: {
    backup: backupId,
    instance: { type: 'string' },
    shards: { type: 'array', items: { type: 'string' } },
    dryRun: { type: 'boolean' },
    again: { type: 'boolean', description: 'It was deleted before.' },
    size: { type: 'integer', description: 'Sealed bytes in the store, of all shards.' },
    frees: {
      type: 'object',
      required: ['objects', 'bytes'],
      properties: { objects: { type: 'integer' }, bytes: { type: 'integer' } },
      description:
        'What retention lets go for it: marked by its next run, deleted after the grace.',
    },
    keptFor: {
      enum: ['seconds', 'share', null],
      description:
        'seconds: it stays, unseen, while seconds that are kept need it. share: with it goes history for its age, more than one run may let go.',
    },
    earliest: { anyOf: [utcTime, { type: 'null' }] },
    earliestAfter: {
      anyOf: [utcTime, { type: 'null' }],
      description: 'The first restorable second once retention has run.',
    },
  },
} as const;

/** What taking a deletion back did. */
export const UndeletedBackup = {
  type: 'object',
  required: ['backup', 'instance', 'again', 'revoked', 'goesByAge'],
  properties: {
    backup: backupId,
    instance: { type: 'string' },
    again: { type: 'boolean', description: 'It was not deleted: nothing changed.' },
    revoked: {
      anyOf: [{ type: 'string' }, { type: 'null' }],
      description: 'The mark of retention that was taken back with it.',
    },
    goesByAge: {
      type: 'boolean',
      description: 'Retention lets go of it for its age all the same, unless it is held.',
    },
  },
} as const;

/** How long links are good for. */
export const DownloadRequest = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ttlSeconds: { type: 'integer', minimum: 1, maximum: 604_800, default: 3600 },
  },
} as const;

/** Links to a sealed backup. */
export const DownloadLinks = {
  type: 'object',
  required: ['backup', 'instance', 'form', 'expires', 'links'],
  properties: {
    backup: backupId,
    instance: { type: 'string' },
    form: { const: 'sealed', description: 'Ciphertext: it opens only where it is restored.' },
    expires: utcTime,
    links: {
      type: 'array',
      items: {
        type: 'object',
        required: ['shard', 'bytes', 'url'],
        properties: {
          shard: { type: 'string' },
          bytes: { type: 'integer' },
          url: { type: 'string' },
        },
      },
    },
  },
} as const;
