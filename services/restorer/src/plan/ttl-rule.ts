/** What becomes of the expiry times: kept, re-based so that the remaining life is kept, or dropped. */
export type TtlMode = 'absolute' | 'remaining' | 'persist';

/** A TTL choice with its instants fixed, so that a plan gives the same bytes every time. */
export interface TtlRule {
  readonly mode: TtlMode;
  /** The end of the wanted second, Unix milliseconds; what expired at or before it stays dead. */
  readonly atMs: number;
  /** The instant of the plan, Unix milliseconds. */
  readonly nowMs: number;
}

/**
 * The new expiry of a key under a rule.
 * @param expiryMs - Absolute expiry, Unix milliseconds.
 * @returns Absolute expiry; null = no expiry. An expiry at or before the end of the wanted second
 *   keeps its value in every mode: what was dead stays dead.
 */
export function newExpiry(rule: TtlRule, expiryMs: number): number | null {
  if (rule.mode === 'absolute' || expiryMs <= rule.atMs) return expiryMs;
  return rule.mode === 'persist' ? null : rule.nowMs + (expiryMs - rule.atMs);
}
