import { SHIFT_SECONDS_MAX } from '../../handlers/ttl-schema.ts';
import { backupId, digits, instanceId, time, utcTime } from './common.ts';

/** Keys, patterns and texts of one request. */
const RULES_MAX = 1000;
const KEY_CHARS_MAX = 4096;
const PATTERN_CHARS_MAX = 1024;

const keys = {
  type: 'array',
  maxItems: RULES_MAX,
  items: { type: 'string', minLength: 1, maxLength: KEY_CHARS_MAX },
  description: 'Keys; bytes as \\xHH, \\n, \\r, \\t, a backslash as \\\\.',
} as const;
const patterns = {
  type: 'array',
  maxItems: RULES_MAX,
  items: { type: 'string', minLength: 1, maxLength: PATTERN_CHARS_MAX },
} as const;
const databases = {
  type: 'array',
  maxItems: 256,
  items: { type: 'integer', minimum: 0, maximum: 1_000_000 },
} as const;
const types = {
  type: 'array',
  maxItems: 32,
  items: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,32}$' },
} as const;

/** Which keys are meant; all of it absent: every key. */
export const selectorFields = {
  filterKeys: keys,
  filterRegexes: {
    ...patterns,
    description: 'Keys that the whole pattern fits: . * ? [abc] [^abc] [a-c] \\',
  },
  filterGlobs: { ...patterns, description: 'Keys that a glob fits, as in KEYS.' },
  databases,
  types,
  excludeKeys: keys,
  excludeRegexes: patterns,
  excludeGlobs: patterns,
  excludeDatabases: databases,
  excludeTypes: types,
} as const;

/** A point in the past. */
export const pointFields = {
  restoreType: {
    type: 'string',
    enum: ['backup', 'pointInTime', 'offset', 'latest'],
    description: 'What restoreTime, backupId or offset is given for.',
  },
  backupId,
  restoreTime: time,
  offset: { ...digits, description: 'Exclusive place in a timeline, instead of a time.' },
  timeline: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' },
} as const;

/** What becomes of expiry times. */
export const ttl = {
  type: 'object',
  additionalProperties: false,
  required: ['mode'],
  properties: {
    mode: {
      type: 'string',
      enum: ['keep', 'absolute', 'remaining', 'rebase', 'shift', 'persist'],
      description:
        'keep is absolute: as they were. remaining: what was left then, from now on; rebase: from to on; shift: moved; persist: dropped.',
    },
    to: { ...time, description: 'Of rebase.' },
    shiftSeconds: {
      type: 'integer',
      minimum: -SHIFT_SECONDS_MAX,
      maximum: SHIFT_SECONDS_MAX,
      description: 'Of shift; below 0: expiry times come earlier.',
    },
  },
} as const;

/** A file that a request names. */
const fileName = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  description: 'Name of a file in the folder `secrets` beside the configuration.',
} as const;
/** The same, or none. */
export const fileNameOrNull = { anyOf: [fileName, { type: 'null' }] } as const;

/** How a server is spoken to over TLS. */
export const tls = {
  anyOf: [
    { type: 'null' },
    {
      type: 'object',
      additionalProperties: false,
      properties: {
        ca: { type: 'array', items: fileName, maxItems: 8 },
        cert: fileNameOrNull,
        key: fileNameOrNull,
        serverName: {
          anyOf: [{ type: 'string', minLength: 1, maxLength: 253 }, { type: 'null' }],
        },
      },
    },
  ],
} as const;

/** A server that runs already, of `[restorer] allow_targets`. */
const addressTarget = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'url'],
  properties: {
    kind: { const: 'address' },
    url: {
      type: 'string',
      minLength: 8,
      maxLength: 512,
      pattern: '^rediss?://',
      description: 'redis://[USER@]HOST:PORT, rediss:// for TLS; never a password.',
    },
    passwordRef: fileNameOrNull,
    tls,
    allowFlush: {
      type: 'boolean',
      default: false,
      description: 'A target that holds data is emptied first.',
    },
  },
} as const;

/** A server that is started here. */
const newTarget = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'new' },
    port: { type: 'integer', minimum: 1, maximum: 65_535 },
  },
} as const;

/** The running original. */
const originalTarget = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'original' },
    onConflict: {
      type: 'string',
      enum: ['skip', 'overwrite', 'fail'],
      default: 'skip',
      description: 'A key that somebody changes while it is written.',
    },
  },
} as const;

/** Where it goes. */
export const target = { anyOf: [originalTarget, newTarget, addressTarget] } as const;

const restoreFields = {
  ...pointFields,
  ...selectorFields,
  withFunctions: { type: 'boolean', description: 'Of selected keys: the functions as well.' },
  withUsers: { type: 'boolean', description: 'The users of the node as well.' },
  withSettings: { type: 'boolean', description: 'The settings of the node as well.' },
  ttl,
  timeShift: {
    ...time,
    description:
      'The same as ttl {"mode":"rebase","to":…}: what was left of a life at restoreTime is left from this time on. Selected keys only.',
  },
  missingKeys: {
    type: 'string',
    enum: ['delete', 'keep'],
    description:
      'In the original: selected keys that were not there then are deleted, or left alone. Default: delete.',
  },
  target,
  verify: {
    type: 'string',
    enum: ['stream', 'full'],
    description: 'full: everything is read and verified before the target is touched.',
  },
} as const;

/** What is restored, and where to. */
export const RestoreBody = {
  type: 'object',
  additionalProperties: false,
  required: ['restoreType', 'target'],
  properties: {
    ...restoreFields,
    planId: { type: 'string', pattern: '^plan-[a-z0-9]{26}$' },
    confirm: {
      type: 'string',
      maxLength: 64,
      description: 'The id of the instance, where the running original is written into.',
    },
  },
} as const;

/** The same for a plan; nothing is written. */
export const PlanBody = {
  type: 'object',
  additionalProperties: false,
  required: ['instanceId', 'restoreType', 'target'],
  properties: { instanceId, ...restoreFields },
} as const;

/** What a restore would do. */
export const PlanSchema = {
  $id: 'RestorePlan',
  type: 'object',
  description: 'What a restore would do; nothing was written.',
  required: ['planId', 'expiresAt', 'instance', 'confirmationText', 'warnings', 'report'],
  properties: {
    planId: { type: 'string' },
    expiresAt: utcTime,
    instance: { type: 'string' },
    confirmationText: {
      type: 'string',
      description: 'What `confirm` must be; empty when nothing must be confirmed.',
    },
    matchedKeys: {
      type: ['object', 'null'],
      description: 'Selected keys by what would become of them; null where none were compared.',
    },
    bytes: { type: 'integer', description: 'Bytes that are read.' },
    warnings: { type: 'array', items: { type: 'string' } },
    report: {
      type: 'object',
      additionalProperties: true,
      description: 'As `restore --dry-run -o json` and `preview -o json` print it.',
    },
  },
} as const;
