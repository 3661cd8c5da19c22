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
      properties: { dir: text, spool_max: text, secrets_dir: text },
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
        metrics_listen: text,
        fleet: { type: 'boolean' },
      },
    },
    policy: {
      type: 'object',
      additionalProperties: false,
      properties: {
        days: texts,
        hours: texts,
        time_zone: text,
        retain: text,
        keep_last: { type: 'integer' },
        flashback: { type: 'boolean' },
        spread: text,
        grace: text,
        recycle_retain: text,
      },
    },
    server: {
      type: 'object',
      additionalProperties: false,
      properties: {
        allow_sources: texts,
        listen: text,
        public_url: text,
        tls_cert_file: text,
        tls_key_file: text,
        tls_client_ca_file: text,
        trusted_proxies: texts,
      },
    },
    auth: {
      type: 'object',
      additionalProperties: false,
      properties: { mode: { enum: ['token', 'mtls', 'none'] }, tokens_file: text },
    },
    restorer: {
      type: 'object',
      additionalProperties: false,
      properties: {
        workers: { type: 'integer' },
        allow_targets: texts,
        target_secrets: { type: 'object', additionalProperties: texts },
        metrics_listen: text,
      },
    },
    clone: {
      type: 'object',
      additionalProperties: false,
      properties: { dir: text, listen: text, ports: text, hook: text, hook_timeout: text },
    },
    events: {
      type: 'object',
      additionalProperties: false,
      required: ['brokers'],
      properties: {
        brokers: { ...texts, minItems: 1 },
        topic_prefix: text,
        tls: { type: 'boolean' },
        tls_ca_file: text,
        sasl_mechanism: { enum: ['plain', 'scram-sha-256', 'scram-sha-512'] },
        sasl_user: text,
        sasl_password_file: text,
      },
    },
    instance: { type: 'array', items: InstanceSchema },
  },
} as const;

/** tidemark.toml as it is written. */
export type ConfigFile = Static<typeof ConfigSchema>;
/** One `[[instance]]` of tidemark.toml. */
export type InstanceEntry = Static<typeof InstanceSchema>;
