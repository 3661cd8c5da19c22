import { textOrNull, utcTime, utcTimeOrNull } from './common.ts';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

const fields = {
  preferredBackupPeriod: {
    type: 'array',
    minItems: 1,
    maxItems: 7,
    uniqueItems: true,
    items: { type: 'string', enum: DAYS },
    description: 'Days of the week.',
  },
  preferredBackupTime: {
    type: 'array',
    minItems: 1,
    maxItems: 24,
    items: {
      type: 'string',
      maxLength: 13,
      pattern: '^([01]\\d|2[0-3]):[0-5]\\d(Z-([01]\\d|2[0-3]):[0-5]\\dZ)?$',
    },
    description: 'Times of the day in `timeZone`, such as 03:00; or spans in UTC, 07:00Z-08:00Z.',
  },
  timeZone: {
    type: 'string',
    minLength: 1,
    maxLength: 64,
    pattern: '^[A-Za-z0-9+_/-]+$',
    description: 'IANA zone; default UTC.',
  },
  keepLast: {
    type: 'integer',
    minimum: 0,
    maximum: 1_000_000,
    description: 'So many backups are kept, however old they are.',
  },
  flashbackEnabled: { type: 'boolean', description: 'Whether the log is kept, for any second.' },
} as const;

const retentionDays = { type: 'integer', minimum: 1, maximum: 36_500 } as const;
const retentionSeconds = { type: 'integer', minimum: 1, maximum: 3_153_600_000 } as const;

/** A policy as it is set: retention in days or in seconds. */
export const PolicyBody = {
  type: 'object',
  additionalProperties: false,
  required: ['preferredBackupPeriod', 'preferredBackupTime'],
  properties: { ...fields, retentionDays, retentionSeconds },
} as const;

/** A policy as it holds now. */
export const PolicySchema = {
  $id: 'BackupPolicy',
  type: 'object',
  description: 'When backups are made, and how long history is kept.',
  required: [
    ...['instance', 'preferredBackupPeriod', 'preferredBackupTime', 'timeZone', 'retentionDays'],
    ...['retentionSeconds', 'keepLast', 'flashbackEnabled', 'source', 'nextBackupAt', 'nextRuns'],
  ],
  properties: {
    instance: { type: 'string' },
    ...fields,
    retentionDays: { type: 'number', description: 'retentionSeconds in days.' },
    retentionSeconds: { type: 'integer' },
    source: {
      enum: ['instance', 'host'],
      description: 'host: the configuration says it, nobody has set one for the instance.',
    },
    setBy: textOrNull,
    setAt: utcTimeOrNull,
    nextBackupAt: { ...utcTimeOrNull, description: 'When the next backup begins.' },
    nextRuns: { type: 'array', items: utcTime, description: 'The next three.' },
  },
} as const;

/** Whether the log of an instance is kept. */
export const FlashbackSchema = {
  type: 'object',
  required: ['instance', 'enabled'],
  properties: { instance: { type: 'string' }, enabled: { type: 'boolean' } },
} as const;
