import { textOrNull, utcTimeOrNull } from './common.ts';

const bytes = { type: 'integer', minimum: 0 } as const;

/** A server that Tidemark started on this host. */
export const ServerSchema = {
  $id: 'Server',
  type: 'object',
  required: ['name', 'kind', 'state', 'address', 'tls', 'pid', 'job', 'instance', 'createdAt'],
  properties: {
    name: { type: 'string', description: 'Name of a clone, id of a restore.' },
    kind: { enum: ['clone', 'restore'] },
    state: {
      enum: ['starting', 'running', 'ended'],
      description: 'starting: it is being loaded; ended: its data lie in its folder still.',
    },
    address: { ...textOrNull, description: 'HOST:PORT; null: it never listened.' },
    tls: { type: 'boolean', description: 'It speaks TLS only.' },
    pid: { type: ['integer', 'null'], description: 'Its process; null: it does not run.' },
    job: { ...textOrNull, description: 'What had it made; null: the command line.' },
    instance: { ...textOrNull, description: 'Whose data it was given.' },
    createdAt: utcTimeOrNull,
    memoryBytes: { ...bytes, description: 'What its data may need; 0: not known.' },
    residentBytes: { ...bytes, description: 'What it has of the memory.' },
    passwordRef: { ...textOrNull, description: 'File in the folder `secrets`.' },
  },
} as const;

/** All of them. */
export const ServerList = {
  type: 'object',
  required: ['servers'],
  properties: { servers: { type: 'array', items: { $ref: 'Server#' }, description: 'By name.' } },
} as const;

/** The path of one server. */
export const serverParams = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: {
      type: 'string',
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
      description: 'As the list shows it.',
    },
  },
} as const;

/** What becomes of its folder. */
export const endQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    data: {
      enum: ['keep', 'delete'],
      default: 'keep',
      description: 'delete: its folder goes too.',
    },
  },
} as const;
