import { backupId, textOrNull, utcTimeOrNull } from './common.ts';

const keyName = {
  type: 'string',
  minLength: 1,
  maxLength: 2048,
  pattern: '^[A-Za-z0-9:/_.-]+$',
  description: 'Id, ARN or alias of a key.',
} as const;

/** How far TDE of an instance is. */
export const TdeSchema = {
  $id: 'Tde',
  type: 'object',
  required: [
    ...['instance', 'state', 'enabled', 'algorithm', 'provider', 'keyId', 'mode', 'backups'],
    ...['allowOriginalRestore', 'latch', 'missing'],
  ],
  properties: {
    instance: { type: 'string' },
    state: {
      enum: ['disabled', 'modifying', 'enabled'],
      description: 'modifying: its rules hold, the first full backup under its key is to come.',
    },
    enabled: { type: 'boolean' },
    algorithm: { const: 'AES-256-GCM' },
    provider: textOrNull,
    keyId: textOrNull,
    mode: { enum: ['auto', 'custom', null] },
    since: utcTimeOrNull,
    latchedAt: utcTimeOrNull,
    enabledAt: utcTimeOrNull,
    backup: { ...backupId, type: ['string', 'null'] },
    backups: {
      type: 'object',
      required: ['total', 'sealedUnderTde', 'plain'],
      properties: {
        total: { type: 'integer' },
        sealedUnderTde: { type: 'integer' },
        plain: { const: 0 },
      },
    },
    allowOriginalRestore: { type: 'boolean' },
    keys: { type: 'array', items: { type: 'object', additionalProperties: true } },
    latch: { type: 'object', additionalProperties: true },
    missing: { ...textOrNull, description: 'What stands between modifying and enabled.' },
  },
} as const;

/** What is asked of TDE: on, and never off again. */
export const TdeBody = {
  type: 'object',
  additionalProperties: false,
  required: ['enabled'],
  properties: {
    enabled: { type: 'boolean' },
    keyId: { ...keyName, description: 'A key of your own; left out: one is made.' },
    roleArn: {
      type: 'string',
      maxLength: 2048,
      pattern: '^arn:[A-Za-z0-9:/_+=,.@-]+$',
      description:
        'Refused: the key service is asked as the role that this service runs as (docs/kms.md).',
    },
    confirm: {
      type: 'string',
      maxLength: 64,
      description: 'The id of the instance: TDE cannot be switched off again.',
    },
  },
} as const;

/** A key without its material. */
export const KeySchema = {
  $id: 'EncryptionKey',
  type: 'object',
  required: [
    ...['keyId', 'provider', 'aliases', 'creator', 'encryptionKeyStatus', 'keyUsage', 'origin'],
    ...['deleteDate', 'materialExpireTime', 'inUse'],
  ],
  properties: {
    keyId: { type: 'string' },
    provider: { type: 'string' },
    aliases: { type: 'array', items: { type: 'string' } },
    creator: { type: 'string' },
    description: { type: 'string' },
    encryptionKeyStatus: { type: 'string' },
    keyUsage: { type: 'string' },
    keySpec: { type: 'string' },
    origin: { type: 'string' },
    created: utcTimeOrNull,
    deleteDate: utcTimeOrNull,
    materialExpireTime: utcTimeOrNull,
    rotation: { type: ['object', 'null'], additionalProperties: true },
    inUse: { type: 'boolean' },
  },
} as const;

/** The keys that an instance can use. */
export const KeyList = {
  type: 'object',
  required: ['instance', 'keys'],
  properties: {
    instance: { type: 'string' },
    keys: { type: 'array', items: { $ref: 'EncryptionKey#' } },
  },
} as const;

/** The path of a key of an instance. An ARN is encoded: its slashes as %2F. */
export const keyParams = {
  type: 'object',
  additionalProperties: false,
  required: ['instance', 'key'],
  properties: {
    instance: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' },
    key: keyName,
  },
} as const;

/** Which key is asked about. */
export const keyQuery = {
  type: 'object',
  additionalProperties: false,
  properties: { keyId: keyName },
} as const;

/** Whether an instance may use a key. */
export const AuthorizationSchema = {
  type: 'object',
  required: ['instance', 'provider', 'keyId', 'authorizationState', 'failed', 'by'],
  properties: {
    instance: { type: 'string' },
    provider: { type: 'string' },
    keyId: { type: 'string' },
    authorizationState: {
      enum: [0, 1, 2],
      description: '0: no; 1: yes; 2: the key service cannot be asked.',
    },
    failed: {
      type: 'array',
      items: {
        type: 'object',
        required: ['action', 'reason'],
        properties: { action: { type: 'string' }, reason: { type: 'string' } },
      },
    },
    by: { enum: ['dry-run', 'canary'] },
  },
} as const;
