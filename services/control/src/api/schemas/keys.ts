import { instanceId, time } from './common.ts';
import { pointFields, selectorFields } from './restores.ts';

/** The path of a key. */
export const historyParams = {
  type: 'object',
  additionalProperties: false,
  required: ['instance', 'key'],
  properties: {
    instance: instanceId,
    key: {
      type: 'string',
      minLength: 1,
      maxLength: 4096,
      pattern: '^[A-Za-z0-9_-]+={0,2}$',
      description: 'The bytes of the key in base64url.',
    },
  },
} as const;

/** What of a history is wanted. */
export const historyQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    start: time,
    end: time,
    at: { ...time, description: 'Only the last event up to then, of each database.' },
    database: { type: 'integer', minimum: 0, maximum: 1_000_000 },
    limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
  },
} as const;

/** What was done to a key. */
export const HistorySchema = {
  type: 'object',
  required: ['instance', 'masked', 'events', 'limited'],
  properties: {
    instance: { type: 'string' },
    masked: { type: 'boolean', description: 'Names of other keys are hashed (TDE).' },
    limited: { type: 'boolean', description: 'There are more events than `limit`.' },
    readBytes: { type: 'integer' },
    events: {
      type: 'array',
      items: {
        type: 'object',
        required: ['second', 'notBefore', 'notAfter', 'timeline', 'offset', 'before', 'db', 'did'],
        properties: {
          second: { type: ['string', 'null'] },
          notBefore: { type: ['string', 'null'] },
          notAfter: { type: ['string', 'null'] },
          timeline: { type: 'string' },
          offset: { type: 'string' },
          before: { type: 'string' },
          command: { type: 'string' },
          arguments: { type: ['integer', 'null'] },
          bytes: { type: ['integer', 'null'] },
          db: { type: 'integer' },
          did: { type: 'string' },
          other: { type: ['object', 'null'], additionalProperties: true },
          expiryMs: { type: ['integer', 'null'] },
          expired: { type: 'boolean' },
          count: { type: 'integer' },
          snapshot: { type: ['object', 'null'], additionalProperties: true },
        },
      },
    },
  },
} as const;

const point = {
  type: 'object',
  additionalProperties: false,
  required: ['restoreType'],
  properties: pointFields,
} as const;

/** Between which points, and which keys. */
export const DiffBody = {
  type: 'object',
  additionalProperties: false,
  required: ['from', 'to'],
  properties: {
    from: point,
    to: { anyOf: [{ const: 'live' }, point], description: 'live: the running server.' },
    ...selectorFields,
    values: { type: 'boolean', default: false, description: 'Show the beginning of values.' },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      default: 20,
      description: 'Keys of each kind that are named.',
    },
  },
} as const;

const end = {
  type: 'object',
  properties: { at: { type: ['string', 'null'] }, cut: { type: ['object', 'null'] } },
} as const;

/** What became of keys. */
export const DiffSchema = {
  type: 'object',
  required: ['instance', 'from', 'to', 'counts', 'expiryOnly', 'sample', 'masked', 'warnings'],
  properties: {
    instance: { type: 'string' },
    masked: { type: 'boolean', description: 'Keys are named by `keyHash` (TDE).' },
    from: end,
    to: end,
    selected: { type: 'string' },
    counts: { type: 'object', additionalProperties: { type: 'integer' } },
    expiryOnly: { type: 'integer' },
    sample: { type: 'array', items: { type: 'object', additionalProperties: true } },
    elapsedSeconds: { type: 'number' },
    warnings: { type: 'array', items: { type: 'string' } },
  },
} as const;
