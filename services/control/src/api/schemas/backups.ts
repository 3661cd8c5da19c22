import { pageQuery } from '../pages.ts';
import { backupId, digits, nextPageToken, time, utcTime } from './common.ts';

/** A backup of one shard in an answer. */
export const BackupSchema = {
  $id: 'Backup',
  type: 'object',
  description: 'A full snapshot of one shard.',
  required: [
    ...['instance', 'id', 'state', 'mode', 'shard', 'size', 'rdbBytes', 'keys', 'start', 'end'],
    ...['from', 'timeline', 'offset', 'hold'],
  ],
  properties: {
    instance: { type: 'string' },
    id: backupId,
    state: {
      enum: ['complete', 'shredded'],
      description: 'shredded: its data key was destroyed, nobody can read it any more.',
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
    state: { type: 'string', enum: ['complete', 'shredded'] },
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

/** What of a backup can be changed. */
export const BackupPatch = {
  type: 'object',
  additionalProperties: false,
  required: ['hold'],
  properties: {
    hold: {
      type: 'boolean',
      description: 'true: retention keeps it, and what follows it, until this is false again.',
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
