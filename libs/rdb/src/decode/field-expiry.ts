import { UsageError } from '@tidemark/core';
import { FIELD_EXPIRY_MAX } from '../format/limits.ts';
import { rdbFault } from '../scan/faults.ts';

/** What becomes of the expiry of a field: Unix milliseconds in and out, null for none. */
export type NewFieldExpiry = (expiryMs: number) => number | null;

/** The rule that changes nothing. */
export const keepFieldExpiry: NewFieldExpiry = (expiryMs) => expiryMs;

/** An expiry as it is written; null for a field without. */
export function ruledExpiry(
  rule: NewFieldExpiry,
  expiryMs: number | null,
  offset: number,
): number | null {
  if (expiryMs === null || !Number.isSafeInteger(expiryMs)) return expiryMs;
  const ruled = rule(expiryMs);
  if (ruled === null || Number.isSafeInteger(ruled)) return ruled;
  throw new UsageError('TM_USAGE', `new expiry ${ruled} is not a whole number`, {
    context: { offset },
  });
}

/**
 * An expiry in the form of Redis: 0 for none, else 1 or more (what expired before 1970 is as dead at
 * its first millisecond).
 * @throws FormatError `TM_RDB_REWRITE` for a time that Redis cannot hold.
 */
export function redisExpiry(expiryMs: number | null, offset: number): number {
  if (expiryMs === null) return 0;
  if (expiryMs <= FIELD_EXPIRY_MAX) return Math.max(expiryMs, 1);
  throw rdbFault(
    'TM_RDB_REWRITE',
    `a field expires at ${expiryMs} ms, Redis holds times up to ${FIELD_EXPIRY_MAX}`,
    offset,
    { context: { limit: FIELD_EXPIRY_MAX } },
  );
}
