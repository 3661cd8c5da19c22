import { UsageError } from '@tidemark/core';
import { FAR_FUTURE_MS } from './command-edits.ts';

/** Gives an absolute expiry (Unix milliseconds) its new value; null = no expiry. Pure. */
export type NewExpiry = (expiryMs: number) => number | null;

/** A server takes no time before this; 0 means none to RESTORE. */
const EXPIRY_MS_MIN = 1;

/** A `NewExpiry` whose answers are checked. */
export class ExpiryRule {
  /** Whether late expiries are removed: then a later `XX` finds no expiry to replace. */
  readonly removes: boolean;
  private readonly newExpiry: NewExpiry;

  constructor(newExpiry: NewExpiry) {
    this.newExpiry = newExpiry;
    this.removes = newExpiry(FAR_FUTURE_MS) === null;
  }

  /** @throws UsageError `TM_USAGE` when the answer is no time. */
  apply(expiryMs: number): number | null {
    const answer = this.newExpiry(expiryMs);
    if (answer === null || answer === expiryMs) return answer;
    if (!Number.isFinite(answer)) throw new UsageError('TM_USAGE', 'a new expiry is not a number');
    return Math.min(Math.max(Math.trunc(answer), EXPIRY_MS_MIN), Number.MAX_SAFE_INTEGER);
  }
}
