import { PlanError, UsageError } from '@tidemark/core';
import { FAR_FUTURE_MS } from './far-future.ts';
import { EXPIRY_KIND, type ExpirySite } from './expiry-site.ts';

/** Gives an absolute expiry (Unix milliseconds) its new value; null = no expiry. Pure. */
export type NewExpiry = (expiryMs: number) => number | null;

/** A server takes no time before this; 0 means none to RESTORE. */
const EXPIRY_MS_MIN = 1;

/** What else a rule says. */
export interface ExpiryRuleOptions {
  /** Whether NX, XX, GT and LT are left out. Default false. */
  readonly dropConditions?: boolean;
  /**
   * Whether the writer logs fields that did not meet the condition among those that did (Valkey 9;
   * Redis logs the latter alone). Such a condition stays. Default false.
   */
  readonly logsUnmetFields?: boolean;
  /** Latest time that a field may get, Unix milliseconds. */
  readonly fieldExpiryMax?: number;
}

/** A `NewExpiry` whose answers are checked. */
export class ExpiryRule {
  /** Whether late expiries are removed: then a later `XX` finds no expiry to replace. */
  readonly removes: boolean;
  private readonly dropConditions: boolean;
  private readonly logsUnmetFields: boolean;
  private readonly newExpiry: NewExpiry;
  private readonly fieldExpiryMax: number;

  constructor(newExpiry: NewExpiry, options: ExpiryRuleOptions = {}) {
    this.newExpiry = newExpiry;
    this.dropConditions = options.dropConditions ?? false;
    this.logsUnmetFields = options.logsUnmetFields ?? false;
    this.fieldExpiryMax = options.fieldExpiryMax ?? Number.MAX_SAFE_INTEGER;
    this.removes = newExpiry(FAR_FUTURE_MS) === null;
  }

  /** @throws UsageError `TM_USAGE` when the answer is no time. */
  apply(expiryMs: number): number | null {
    const answer = this.newExpiry(expiryMs);
    if (answer === null || answer === expiryMs) return answer;
    if (!Number.isFinite(answer)) throw new UsageError('TM_USAGE', 'a new expiry is not a number');
    return Math.min(Math.max(Math.trunc(answer), EXPIRY_MS_MIN), Number.MAX_SAFE_INTEGER);
  }

  /**
   * The same for a field.
   * @throws PlanError `TM_TTL_RANGE` when the new time is more than a field may get.
   */
  applyToField(expiryMs: number): number | null {
    const answer = this.apply(expiryMs);
    if (answer === null || answer === expiryMs || answer <= this.fieldExpiryMax) return answer;
    throw new PlanError('TM_TTL_RANGE', `a field would expire at ${answer.toString()} ms`, {
      context: { expiryMs, max: this.fieldExpiryMax },
      hint: 'restore with another --ttl: absolute keeps such a time, persist drops it',
    });
  }

  /**
   * Up to which argument, from the fourth on, the conditions of a command are left out; 0 = none is.
   * @throws PlanError `TM_TTL_FIELDS` when a condition that must stay asks for expiries that were
   *   removed.
   */
  droppedConditions(site: ExpirySite): number {
    const { conditionsEnd, kind, fieldCount } = site;
    if (!this.dropConditions || conditionsEnd === 0) return 0;
    const unmet = this.logsUnmetFields && kind === EXPIRY_KIND.fieldTime && fieldCount !== 1;
    if (!unmet) return conditionsEnd;
    if (!this.removes) return 0;
    throw new PlanError(
      'TM_TTL_FIELDS',
      'which fields a condition in the log was met by cannot be told without their expiries',
      { hint: '--ttl shift:36500d moves every expiry by a hundred years instead' },
    );
  }
}
