import { KEPT, TargetSchema } from '../../clone/request-schema.ts';
import { backupId, instanceId, textOrNull, time, utcTime, utcTimeOrNull } from './common.ts';
import { selectorFields, ttl } from './restores.ts';

const password = {
  type: 'string',
  minLength: 8,
  maxLength: 32,
  description:
    'Of the new server: 8 to 32 characters, three of: upper case, lower case, digits, !@#$%^&*()_+-=',
} as const;

const secretName = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  description: 'Name of a file in the folder `secrets` beside the configuration.',
} as const;

const common = {
  target: TargetSchema,
  name: { ...instanceId, description: 'Name of the new instance.' },
  password,
  passwordRef: secretName,
  memoryBytes: {
    type: 'integer',
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Memory class: not less than the source needs.',
  },
  sample: {
    type: 'integer',
    minimum: 0,
    maximum: 1000,
    description: 'Keys that are compared with the archive before it is handed over.',
  },
  register: {
    type: 'boolean',
    description:
      'Take it into the configuration, as an instance of its own. A server that is not started here needs the scope `admin`, and its address a rule of `[server] allow_sources`.',
  },
} as const;

/** A new instance from another one. */
export const CloneBody = {
  type: 'object',
  additionalProperties: false,
  required: ['sourceId', 'restoreType', 'target', 'name'],
  properties: {
    sourceId: instanceId,
    restoreType: { type: 'string', enum: ['backup', 'pointInTime', 'latest'] },
    backupId,
    restoreTime: time,
    ...selectorFields,
    withFunctions: { type: 'boolean' },
    ttl,
    timeShift: time,
    ...common,
    shardCount: { type: 'integer', minimum: 1, maximum: 1024 },
    keep: {
      type: 'array',
      maxItems: 4,
      items: { type: 'string', enum: KEPT },
      description:
        'What of the source beside its data it is given. `password` is refused (`TM_PASSWORD`) where the source has none, unless another one is given.',
    },
    verify: { type: 'string', enum: ['stream', 'full'] },
  },
} as const;

/** A released instance as a new one. */
export const RebuildBody = {
  type: 'object',
  additionalProperties: false,
  required: ['target'],
  properties: common,
} as const;

/** An instance in the bin. */
export const RecycledSchema = {
  $id: 'RecycledInstance',
  type: 'object',
  required: ['id', 'name', 'state', 'releasedAt', 'keptUntil', 'by', 'tde', 'canRebuild'],
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    state: {
      enum: ['kept', 'due', 'destroyed', 'erased'],
      description:
        'kept: it can be had back; due: its time is over; destroyed: its keys are gone; erased: nothing is left.',
    },
    releasedAt: utcTime,
    keptUntil: utcTime,
    daysLeft: { type: 'integer', minimum: 0 },
    by: { type: 'string' },
    url: { ...textOrNull, description: 'Where its node was.' },
    source: { enum: ['aof', 'psync', null] },
    tde: { type: 'boolean' },
    canRebuild: { type: 'boolean', description: 'false for an instance with TDE.' },
    objectsGoAt: utcTimeOrNull,
    rebuilds: { type: 'array', items: { type: 'object', additionalProperties: true } },
  },
} as const;

/** Everything in the bin. */
export const RecycleList = {
  type: 'object',
  required: ['instances'],
  properties: {
    instances: {
      type: 'array',
      items: { $ref: 'RecycledInstance#' },
      description: 'Newest first.',
    },
  },
} as const;

/** What cannot be undone is said twice. */
export const confirmQuery = {
  type: 'object',
  additionalProperties: false,
  required: ['confirm'],
  properties: {
    confirm: {
      ...instanceId,
      description: 'The id of the instance once more: there is no way back.',
    },
  },
} as const;

/** What clears the data of a node. */
export const ClearBody = {
  type: 'object',
  additionalProperties: false,
  required: ['confirm'],
  properties: {
    confirm: { ...instanceId, description: 'The id of the instance once more.' },
    backup: { type: 'boolean', default: true, description: 'Make and verify a backup first.' },
  },
} as const;

/** How fast expired keys are looked for. */
export const PurgeBody = {
  type: 'object',
  additionalProperties: false,
  properties: { keysPerSecond: { type: 'integer', minimum: 100, maximum: 1_000_000 } },
} as const;

/** What is verified: a backup, or everything. */
export const VerifyBody = {
  type: 'object',
  additionalProperties: false,
  properties: { backupId },
} as const;

/** What the data keys of an instance are wrapped with. */
export const RewrapBody = {
  type: 'object',
  additionalProperties: false,
  properties: {
    keyId: {
      type: 'string',
      minLength: 1,
      maxLength: 2048,
      pattern: '^[^\\p{Cc}]+$',
      description: 'Id or alias of another key; left away: the newest version of its own.',
    },
  },
} as const;

/** How what is kept no longer is let go of. */
export const ExpireBody = {
  type: 'object',
  additionalProperties: false,
  properties: {
    dryRun: { type: 'boolean', default: false, description: 'Say what would go; do nothing.' },
    force: {
      type: 'boolean',
      default: false,
      description: 'Mark more than half of what is stored in one run.',
    },
  },
} as const;
