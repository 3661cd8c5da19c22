import { REBASE_MS_MAX, SHIFT_MS_MAX } from '@tidemark/restorer';

const strict = { type: 'object', additionalProperties: false } as const;

/**
 * What becomes of expiry times, as the jobs of restores, writes into the original and clones keep it:
 * `TtlChoice` of \@tidemark/restorer, with its limits. A shift may go back.
 */
export const TtlSchema = {
  anyOf: [
    {
      ...strict,
      required: ['mode'],
      properties: { mode: { enum: ['absolute', 'remaining', 'persist'] } },
    },
    {
      ...strict,
      required: ['mode', 'toMs'],
      properties: {
        mode: { const: 'rebase' },
        toMs: { type: 'integer', minimum: 0, maximum: REBASE_MS_MAX },
      },
    },
    {
      ...strict,
      required: ['mode', 'byMs'],
      properties: {
        mode: { const: 'shift' },
        byMs: { type: 'integer', minimum: -SHIFT_MS_MAX, maximum: SHIFT_MS_MAX },
      },
    },
  ],
} as const;

/** The same of one shift as requests over HTTP give it, in whole seconds. */
export const SHIFT_SECONDS_MAX: number = SHIFT_MS_MAX / 1000;
