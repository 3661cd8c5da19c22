import { backupId, time, utcTime, utcTimeOrNull } from './common.ts';

const range = {
  type: 'object',
  required: ['from', 'to'],
  properties: { from: utcTime, to: { ...utcTime, description: 'Inclusive.' } },
} as const;

const hole = {
  type: 'object',
  required: ['from', 'to', 'reason', 'detail'],
  properties: {
    ...range.properties,
    reason: {
      enum: [
        ...['aof-off', 'rewrite-unobserved', 'backlog-overrun', 'divergent-tail', 'clock-step'],
        ...['spool-full', 'pin-dropped', 'detached', 'capture-down'],
      ],
    },
    detail: { type: ['string', 'null'] },
  },
} as const;

const count = { type: 'integer', minimum: 0 } as const;

const bucket = {
  type: 'object',
  required: [
    ...['from', 'to', 'state', 'restorableSeconds', 'gapSeconds', 'lagSeconds', 'reasons'],
  ],
  properties: {
    from: { ...utcTime, description: 'A multiple of the resolution, in UTC.' },
    to: range.properties.to,
    state: {
      enum: ['whole', 'partly', 'none'],
      description: 'whole: every second of it that has passed can be restored.',
    },
    restorableSeconds: count,
    gapSeconds: { ...count, description: 'Between windows: never restorable.' },
    lagSeconds: { ...count, description: 'Passed, and later than what is proven by now.' },
    reasons: { type: 'array', items: hole.properties.reason },
  },
} as const;

/** What of the windows is wanted. */
export const windowsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    start: { ...time, description: 'Only what reaches to this time or later.' },
    end: { ...time, description: 'Only what begins at this time or earlier.' },
    resolution: {
      type: 'string',
      pattern: '^(second|minute|hour|day|[1-9][0-9]{0,6}[smhd])$',
      description:
        'Buckets as well: second, minute, hour, day or a duration such as 15m; at most 1,000 of them between start (else: the first second there is) and end (else: now).',
    },
    timelines: { type: 'boolean', default: false, description: 'Timelines as well.' },
  },
} as const;

/** What can be restored. */
export const WindowsSchema = {
  type: 'object',
  required: [
    ...['instance', 'earliest', 'latest', 'provenTo', 'lagSeconds', 'ranges', 'gaps', 'backups'],
    'shards',
  ],
  properties: {
    instance: { type: 'string' },
    earliest: {
      ...utcTimeOrNull,
      description: 'First second that every shard can be restored to.',
    },
    latest: { ...utcTimeOrNull, description: 'Last one; null: nothing can be restored.' },
    provenTo: utcTimeOrNull,
    lagSeconds: { type: ['integer', 'null'], description: 'Between now and latest.' },
    ranges: { type: 'array', items: range, description: 'Seconds that every shard has.' },
    gaps: { type: 'array', items: hole, description: 'Seconds between them that a shard lacks.' },
    buckets: {
      type: 'array',
      items: bucket,
      description:
        'Where a resolution was asked for: what of each stretch of time every shard has.',
    },
    backups: {
      type: 'array',
      description: 'The newest 20; all of them: the list of backups.',
      items: {
        type: 'object',
        required: ['id', 'from', 'end'],
        properties: { id: backupId, from: utcTime, end: utcTime },
      },
    },
    shards: {
      type: 'array',
      items: {
        type: 'object',
        required: ['shard', 'pins', 'ranges', 'holes'],
        properties: {
          shard: { type: 'string' },
          pins: { type: ['string', 'null'], description: 'How files of the node are held.' },
          ranges: { type: 'array', items: range },
          holes: { type: 'array', items: hole },
          timelines: { type: 'array', items: { type: 'object', additionalProperties: true } },
        },
      },
    },
  },
} as const;
