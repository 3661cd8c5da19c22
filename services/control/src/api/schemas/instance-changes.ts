import { instanceId } from './common.ts';
import { InstanceSchema } from './instances.ts';
import { fileNameOrNull, tls } from './restores.ts';

const user = {
  type: 'string',
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\s\\p{Cc}]+$',
  description: 'The user that captures (docs/acl.md).',
} as const;
const url = {
  type: 'string',
  minLength: 8,
  maxLength: 512,
  pattern: '^(rediss?|redis\\+sentinel|rediss\\+sentinel|unix)://',
  description: 'redis://HOST:PORT, rediss:// for TLS, of `[server] allow_sources`; no password.',
} as const;
const aofDir = {
  type: 'string',
  maxLength: 1024,
  pattern: '^/[^\\p{Cc}]*$',
  description: 'Of an append-only file: its folder on the host of the archiver.',
} as const;
const source = {
  type: 'string',
  enum: ['aof', 'psync'],
  description: 'psync: by replication; aof: from the files of a node beside the archiver.',
} as const;

/** An instance that is taken under protection. */
export const NewInstanceBody = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'url', 'source'],
  properties: {
    id: instanceId,
    ...{ url, source, user, tls, aofDir },
    passwordRef: fileNameOrNull,
    hold: {
      type: 'boolean',
      default: false,
      description: 'Of an append-only file: the server keeps what a rewrite makes needless.',
    },
    switchTimestamps: {
      type: 'boolean',
      default: false,
      description: 'Consent to switch aof-timestamp-enabled on.',
    },
  },
} as const;

/** What of an instance is changed. */
export const InstanceChangeBody = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  properties: {
    user: { anyOf: [user, { type: 'null' }] },
    passwordRef: fileNameOrNull,
    preferReplica: { type: 'boolean', description: 'Of a Sentinel set.' },
    url: { ...url, description: 'Refused: another node is another instance.' },
    source: { ...source, description: 'Refused.' },
    aofDir: { ...aofDir, description: 'Refused.' },
  },
} as const;

const attached = {
  type: 'boolean',
  description: 'Whether a running archiver has taken it up; else it does when it starts.',
} as const;

/** What became of a new instance. */
export const AddedSchema = {
  type: 'object',
  required: ['instance', 'source', 'product', 'version', 'attached', 'warnings'],
  properties: {
    instance: instanceId,
    source,
    product: { type: 'string' },
    version: { type: 'string' },
    role: { type: 'string' },
    pinClass: { type: 'string' },
    timestamps: { enum: ['on', 'switched-on', 'off'] },
    safety: { type: 'array', items: { type: 'object', additionalProperties: true } },
    attached,
    warnings: { type: 'array', items: { type: 'string' } },
  },
} as const;

/** An instance that was changed. */
export const ChangedSchema = {
  type: 'object',
  required: [...InstanceSchema.required, 'attached', 'warnings'],
  properties: {
    ...InstanceSchema.properties,
    attached,
    warnings: { type: 'array', items: { type: 'string' } },
  },
} as const;
