import { instanceId, label, utcTime, utcTimeOrNull } from './common.ts';

/** An instance in a list. */
export const InstanceSchema = {
  $id: 'Instance',
  type: 'object',
  description: 'A deployment under protection.',
  required: ['id', 'url', 'source', 'aofDir', 'configured'],
  properties: {
    id: instanceId,
    url: { type: ['string', 'null'], description: 'Null: only the store knows it.' },
    source: { enum: ['aof', 'psync', null] },
    aofDir: { type: ['string', 'null'] },
    configured: { type: 'boolean', description: 'Whether this host captures it.' },
  },
} as const;

/** Every instance. */
export const InstanceList = {
  type: 'object',
  required: ['instances'],
  properties: { instances: { type: 'array', items: { $ref: 'Instance#' } } },
} as const;

const capture = {
  type: ['object', 'null'],
  additionalProperties: true,
  description: 'How its capture stands; null: no archiver of this host captures it.',
} as const;

const owner = {
  type: ['object', 'null'],
  description: 'The host that captures it, as its log says; null: none ever did.',
  properties: {
    id: { type: 'string' },
    generation: { type: 'integer' },
    state: { enum: ['alive', 'released', 'gone'] },
    lastSeen: utcTime,
  },
} as const;

const fleet = {
  type: ['object', 'null'],
  description: 'What is shared out; null: the archiver of this host shares nothing.',
  properties: {
    state: { enum: ['joining', 'member'] },
    assigned: { type: 'array', items: { type: 'string' } },
    ownerId: { type: 'string' },
    gone: {
      type: 'array',
      description: 'Instances that only a host can capture which shows no life.',
      items: { type: 'string' },
    },
  },
} as const;

const statusProperties = {
  instance: { type: 'string' },
  earliest: utcTimeOrNull,
  latest: utcTimeOrNull,
  holes: { type: 'integer' },
  backups: { type: 'integer' },
  capture,
  owner,
} as const;

/** One instance with what there is of it. */
export const InstanceDetail = {
  type: 'object',
  required: ['id', 'configured', 'name', 'createdAt', 'status', 'tde'],
  properties: {
    ...InstanceSchema.properties,
    name: label,
    createdAt: utcTime,
    removedAt: utcTimeOrNull,
    tde: { enum: ['disabled', 'modifying', 'enabled'] },
    allowOriginalRestore: { type: 'boolean' },
    status: { type: 'object', properties: statusProperties },
  },
} as const;

/** The status of everything. */
export const StatusSchema = {
  type: 'object',
  required: ['archiver', 'store', 'instances'],
  properties: {
    archiver: { type: ['object', 'null'], properties: { pid: { type: 'integer' } } },
    fleet,
    store: { type: 'string' },
    instances: { type: 'array', items: { type: 'object', properties: statusProperties } },
  },
} as const;

/** What a check found. */
export const CheckSchema = {
  type: 'object',
  required: ['instance', 'healthy', 'findings'],
  properties: {
    instance: { type: 'string' },
    healthy: { type: 'boolean' },
    findings: {
      type: 'array',
      items: {
        type: 'object',
        required: ['check', 'ok', 'detail'],
        properties: {
          check: { type: 'string' },
          ok: { type: 'boolean' },
          warning: { type: 'boolean' },
          detail: { type: 'string' },
        },
      },
    },
  },
} as const;

/** What a node was beside its data. */
export const FactsSchema = {
  type: 'object',
  required: ['instance', 'taken', 'product', 'version', 'modules', 'config', 'users', 'unread'],
  properties: {
    instance: { type: 'string' },
    taken: utcTime,
    product: { type: 'string' },
    version: { type: 'string' },
    modules: { type: ['array', 'null'], items: { type: 'object', additionalProperties: true } },
    commands: { type: ['integer', 'null'] },
    config: { type: ['object', 'null'], additionalProperties: { type: 'string' } },
    secrets: { type: 'array', items: { type: 'string' } },
    users: { type: ['array', 'null'], items: { type: 'object', additionalProperties: true } },
    unread: { type: 'array', items: { type: 'object', additionalProperties: true } },
  },
} as const;
