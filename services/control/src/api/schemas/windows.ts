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

/** What of the windows is wanted. */
export const windowsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    start: { ...time, description: 'Only what reaches to this time or later.' },
    end: { ...time, description: 'Only what begins at this time or earlier.' },
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
