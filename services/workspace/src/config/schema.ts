import type { Static } from 'typebox';

// Plain JSON Schema: the builder of typebox alone would be a third of the start of every command.
const text = { type: 'string' } as const;
const texts = { type: 'array', items: text } as const;

const InstanceSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'url'],
  properties: {
    id: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' },
    url: text,
    user: text,
    password_file: text,
    source: { enum: ['aof', 'psync'] },
    aof_dir: text,
    hold: { type: 'boolean' },
    tls_ca_file: { anyOf: [text, { ...texts, minItems: 1 }] },
    tls_cert_file: text,
    tls_key_file: text,
    tls_server_name: text,
    tls_min_version: { enum: ['1.2', '1.3'] },
    tls_ciphers: text,
    prefer_replica: { type: 'boolean' },
    sentinel_user: text,
    sentinel_password_file: text,
  },
} as const;

/** The shape of tidemark.toml. Unknown names are errors; defaults stand in load.ts. */
export const ConfigSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['version', 'store', 'state', 'keys'],
  properties: {
    version: { const: 1 },
    store: {
      type: 'object',
      additionalProperties: false,
      required: ['url'],
      properties: {
        url: text,
        region: text,
        endpoint: text,
        force_path_style: { type: 'boolean' },
        storage_class: text,
        object_lock_days: { type: 'integer' },
        part_size: text,
        concurrency: { type: 'integer' },
        checksum: { enum: ['when_required', 'when_supported'] },
      },
    },
    state: {
      type: 'object',
      additionalProperties: false,
      required: ['dir'],
      properties: { dir: text, spool_max: text },
    },
    keys: {
      type: 'object',
      additionalProperties: false,
      required: ['ring'],
      properties: {
        provider: { enum: ['ring', 'aws-kms'] },
        ring: text,
        kms_key_id: text,
        kms_region: text,
        kms_endpoint: text,
      },
    },
    archiver: {
      type: 'object',
      additionalProperties: false,
      properties: {
        roll_max_age: text,
        roll_max_bytes: text,
        pin_max: text,
        pin_max_age: text,
        heartbeat: text,
        request_rewrites: { type: 'boolean' },
        expire: { type: 'boolean' },
      },
    },
    policy: {
      type: 'object',
      additionalProperties: false,
      properties: { days: texts, hours: texts, retain: text, grace: text },
    },
    instance: { type: 'array', items: InstanceSchema },
  },
} as const;

/** tidemark.toml as it is written. */
export type ConfigFile = Static<typeof ConfigSchema>;
/** One `[[instance]]` of tidemark.toml. */
export type InstanceEntry = Static<typeof InstanceSchema>;
