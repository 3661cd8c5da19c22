import type { Static } from 'typebox';
import { TtlSchema } from '../handlers/ttl-schema.ts';

// Plain JSON Schema: the same object checks jobs here and requests of the API.
const text = { type: 'string', maxLength: 512 } as const;
const fileName = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' } as const;
/** A schema, or null. */
export interface OrNull<T> {
  readonly anyOf: readonly [T, { readonly type: 'null' }];
}
const orNull = <const T extends object>(schema: T): OrNull<T> => ({
  anyOf: [schema, { type: 'null' }],
});
const strict = { type: 'object', additionalProperties: false } as const;

const tlsRefs = {
  ...strict,
  properties: {
    ca: { type: 'array', items: fileName, maxItems: 8 },
    cert: orNull(fileName),
    key: orNull(fileName),
    serverName: orNull({ type: 'string', maxLength: 253 }),
  },
} as const;

const serverTls = {
  ...strict,
  required: ['cert', 'key', 'ca'],
  properties: {
    cert: fileName,
    key: fileName,
    ca: { type: 'array', items: fileName, minItems: 1, maxItems: 1 },
    clients: { enum: ['required', 'optional', 'no'] },
    serverName: orNull({ type: 'string', maxLength: 253 }),
  },
} as const;

/** Where a clone goes, as it is asked for. */
export const TargetSchema = {
  anyOf: [
    {
      ...strict,
      required: ['kind', 'url'],
      properties: {
        kind: { const: 'address' },
        url: { type: 'string', minLength: 1, maxLength: 512 },
        passwordRef: orNull(fileName),
        tls: orNull(tlsRefs),
      },
    },
    {
      ...strict,
      required: ['kind'],
      properties: {
        kind: { const: 'local' },
        port: orNull({ type: 'integer', minimum: 1, maximum: 65_535 }),
        tls: orNull(serverTls),
      },
    },
    {
      ...strict,
      required: ['kind'],
      properties: { kind: { const: 'hook' }, tls: orNull(tlsRefs) },
    },
  ],
} as const;

const whole = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;

const common = {
  /** `selectorToJson` of \@tidemark/selector; null: every key. */
  selector: {},
  withFunctions: { type: 'boolean' },
  ttl: TtlSchema,
  target: TargetSchema,
  name: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' },
  /** By the rules of B10; it is kept in a file at once, and never in the request. */
  password: text,
  passwordRef: orNull(fileName),
  memoryBytes: orNull(whole),
  shards: { type: 'integer', minimum: 1 },
  verify: { enum: ['stream', 'full'] },
  /** Keys that are compared with what the archive holds. */
  sample: { type: 'integer', minimum: 0, maximum: 1_000 },
} as const;

/** What `keep` of a clone may name. */
export const KEPT = ['users', 'password', 'params', 'policy'] as const;

/** The request of a `clone` job. */
export const CloneSchema = {
  ...strict,
  required: ['source', 'target', 'name'],
  properties: {
    ...common,
    source: {
      anyOf: [
        {
          ...strict,
          required: ['kind', 'second'],
          properties: { kind: { const: 'second' }, second: { type: 'integer' } },
        },
        {
          ...strict,
          required: ['kind', 'backup'],
          properties: {
            kind: { const: 'backup' },
            backup: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' },
          },
        },
        { ...strict, required: ['kind'], properties: { kind: { const: 'latest' } } },
      ],
    },
    keep: { type: 'array', items: { enum: KEPT }, maxItems: 4 },
    /** Take the clone into the configuration, as an instance with its name. */
    register: { type: 'boolean' },
  },
} as const;

/** The request of a `rebuild` job. */
export const RebuildSchema = {
  ...strict,
  required: ['target'],
  properties: {
    target: TargetSchema,
    name: common.name,
    password: common.password,
    passwordRef: common.passwordRef,
    memoryBytes: common.memoryBytes,
    sample: common.sample,
    register: { type: 'boolean' },
  },
} as const;

/** A clone as it is asked for. */
export type CloneInput = Static<typeof CloneSchema>;
/** A rebuild as it is asked for. */
export type RebuildInput = Static<typeof RebuildSchema>;
