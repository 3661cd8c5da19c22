/** Id of an instance, as in tidemark.toml. */
export const instanceId = {
  type: 'string',
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  description: 'Id of an instance: lower-case letters, digits and hyphens, at most 63.',
} as const;

/** Id of a backup. */
export const backupId = {
  type: 'string',
  pattern: '^[a-z0-9][a-z0-9_-]{0,62}$',
  description: 'Id of a backup, as a list of backups shows it.',
} as const;

/** Id of a job. */
export const jobId = {
  type: 'string',
  pattern: '^job-[a-z0-9]{1,59}$',
  description: 'Id of a job.',
} as const;

/** A whole second with its offset from UTC. */
export const time = {
  type: 'string',
  minLength: 20,
  maxLength: 25,
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(Z|[+-]\\d\\d:\\d\\d)$',
  description: 'RFC 3339 to the second, with Z or an offset from UTC.',
} as const;

/** A time in an answer, always UTC. */
export const utcTime = {
  type: 'string',
  description: 'RFC 3339, UTC, to the second.',
} as const;

/** The same where there may be none. */
export const utcTimeOrNull = { ...utcTime, type: ['string', 'null'] } as const;

/** A 64-bit number as a string of digits. */
export const digits = {
  type: 'string',
  pattern: '^\\d{1,19}$',
  description: 'A 64-bit number as digits.',
} as const;

const text = { type: 'string' } as const;

/** Text that may not be there. */
export const textOrNull = { type: ['string', 'null'] } as const;

/** The text of a name, without control characters. */
export const label = {
  type: 'string',
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\p{Cc}]+$',
} as const;

/** The path of one instance. */
export const instanceParams = {
  type: 'object',
  additionalProperties: false,
  required: ['instance'],
  properties: { instance: instanceId },
} as const;

/** A token of the next page, or null. */
export const nextPageToken = {
  type: ['string', 'null'],
  description: 'Ask again with it as pageToken; null: that was the last page.',
} as const;

/** Who asked. */
export const actor = {
  type: 'object',
  required: ['name', 'via'],
  properties: { name: text, via: { enum: ['token', 'mtls', 'open', 'cli', 'policy'] } },
} as const;

/** A body that must be empty. */
export const emptyBody = {
  type: 'object',
  additionalProperties: false,
  properties: {},
} as const;
