import { UsageError } from '@tidemark/core';
import type { TtlChoice, WantedPoint } from '@tidemark/restorer';
import { compileSelector, selectorFromJson, selectorToJson } from '@tidemark/selector';
import type { Static } from 'typebox';
import type { Json } from '../jobs/job.ts';

const strict = { type: 'object', additionalProperties: false } as const;
const whole = {
  type: 'integer',
  minimum: -Number.MAX_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
} as const;
const safeName = { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' } as const;
const offsetText = { type: 'string', pattern: '^(0|[1-9][0-9]{0,18})$' } as const;
const timeline = { anyOf: [safeName, { type: 'null' }] } as const;
/** Name of a file in the folder of secrets. */
export const fileName = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
} as const;

/** A point in history; offsets are decimal texts. */
export const PointSchema = {
  anyOf: [
    {
      ...strict,
      required: ['kind', 'second'],
      properties: { kind: { const: 'second' }, second: whole, timeline },
    },
    { ...strict, required: ['kind'], properties: { kind: { const: 'latest' } } },
    {
      ...strict,
      required: ['kind', 'backup'],
      properties: { kind: { const: 'backup' }, backup: safeName },
    },
    {
      ...strict,
      required: ['kind', 'offset'],
      properties: { kind: { enum: ['offset', 'before'] }, offset: offsetText, timeline },
    },
  ],
} as const;

/** Commands that are left out, from one offset to another. */
export const SkipSchema = {
  ...strict,
  required: ['from', 'to'],
  properties: { from: offsetText, to: offsetText },
} as const;

/** A point as a job keeps it. */
export type PointJson = Static<typeof PointSchema>;

/** The point that is meant. */
export function pointOf(point: PointJson): WantedPoint {
  if (!('offset' in point)) return point;
  const { kind, offset, timeline = null } = point;
  return { kind, offset: BigInt(offset), timeline };
}

/** What was left to live is left from now on, however late the job begins. */
export function fixedTtl(ttl: TtlChoice, nowMs: number): TtlChoice {
  return ttl.mode === 'remaining' ? { mode: 'rebase', toMs: nowMs } : ttl;
}

/**
 * Looks whether a selection can be read.
 * @returns It as it is kept; null: every key.
 * @throws UsageError, FormatError of \@tidemark/selector.
 */
export function checkedSelector(json: unknown): Json {
  if (json === undefined || json === null) return null;
  const spec = selectorFromJson(json);
  compileSelector(spec);
  return selectorToJson(spec) as Json;
}

interface Validator<T> {
  Check(value: unknown): value is T;
  Errors(
    value: unknown,
  ): [boolean, readonly { readonly instancePath: string; readonly message: string }[]];
}

/** @throws UsageError `TM_USAGE` (context.pointer) that names the field. */
export function checked<T>(schema: Validator<T>, value: unknown): T {
  if (schema.Check(value)) return value;
  const faults = [...schema.Errors(value)[1]];
  const [deepest] = faults.sort((a, b) => b.instancePath.length - a.instancePath.length);
  const pointer = deepest?.instancePath ?? '';
  throw new UsageError(
    'TM_USAGE',
    `the request is wrong${pointer === '' ? '' : ` at ${pointer}`}`,
    {
      context: { pointer },
      hint: deepest?.message ?? 'see docs/jobs.md',
    },
  );
}
