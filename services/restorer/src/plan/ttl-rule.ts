import { PlanError, UsageError } from '@tidemark/core';

/**
 * What becomes of expiry times, those of keys and of hash fields alike.
 *
 * - `absolute`: kept as they were.
 * - `remaining`: what was left at the wanted second is left from the instant of the plan on.
 * - `rebase`: the same from another time on: new = `toMs` + (expiry - wanted second).
 * - `shift`: all by the same: new = expiry + `byMs`, which may be negative.
 * - `persist`: dropped.
 *
 * What had expired by the wanted second keeps its time in every mode: it stays dead.
 */
export type TtlChoice =
  | { readonly mode: 'absolute' | 'remaining' | 'persist' }
  | {
      readonly mode: 'rebase';
      /** Unix milliseconds. */
      readonly toMs: number;
    }
  | {
      readonly mode: 'shift';
      /** Milliseconds; at most a hundred years either way. */
      readonly byMs: number;
    };

/** A TTL choice with its instants fixed, so that a plan gives the same bytes every time. */
export type TtlRule = TtlChoice & {
  /** The end of the wanted second, Unix milliseconds; what expired at or before it stays dead. */
  readonly atMs: number;
  /** The instant of the plan, Unix milliseconds. */
  readonly nowMs: number;
};

/** A server takes no expiry before this, and none that is no exact number can be counted with. */
const EXPIRY_MS_MIN = 1;
const EXPIRY_MS_MAX = Number.MAX_SAFE_INTEGER;
/** The end of the year 9999, Unix milliseconds: the last that can be written as a time. */
export const REBASE_MS_MAX: number = 253_402_300_799_999;
/** A hundred years of 365 days, in milliseconds. */
export const SHIFT_MS_MAX: number = 36_500 * 86_400_000;

/**
 * Checks the numbers of a choice.
 * @throws UsageError `TM_USAGE` for a time before 1970 or after 9999, or a shift of more than a
 *   hundred years.
 */
export function checkTtlChoice(choice: TtlChoice): void {
  if (choice.mode === 'rebase') {
    const { toMs } = choice;
    if (Number.isSafeInteger(toMs) && toMs >= 0 && toMs <= REBASE_MS_MAX) return;
    throw new UsageError('TM_USAGE', 'expiry times cannot be rebased to this time', {
      context: { toMs, max: REBASE_MS_MAX },
      hint: 'give a time between 1970 and 9999',
    });
  }
  if (choice.mode === 'shift') {
    const { byMs } = choice;
    if (Number.isSafeInteger(byMs) && Math.abs(byMs) <= SHIFT_MS_MAX) return;
    throw new UsageError('TM_USAGE', 'expiry times cannot be shifted by so much', {
      context: { byMs, max: SHIFT_MS_MAX },
      hint: 'shift by at most a hundred years: --ttl shift:36500d',
    });
  }
}

/**
 * The new expiry of a key or of a field under a rule. It is asked once for each expiry: what it
 * answers is no longer told apart from what had expired by the wanted second.
 * @param expiryMs - Absolute expiry, Unix milliseconds.
 * @returns Absolute expiry; null = no expiry. An expiry at or before the end of the wanted second
 *   keeps its value in every mode: what was dead stays dead.
 * @throws PlanError `TM_TTL_RANGE` with `expiryMs` and `ttl` when the new one lies before 1970 or
 *   beyond what can be counted.
 */
export function newExpiry(rule: TtlRule, expiryMs: number): number | null {
  if (expiryMs <= rule.atMs) return expiryMs;
  const expiry = movedExpiry(rule, expiryMs);
  if (expiry === null || expiry === expiryMs) return expiry;
  const counted = Math.max(expiry, expiryMs) <= EXPIRY_MS_MAX;
  if (counted && expiry >= EXPIRY_MS_MIN) return expiry;
  throw new PlanError(
    'TM_TTL_RANGE',
    `an expiry at ${expiryMs.toString()} ms cannot be moved: ${ttlText(rule)}`,
    {
      context: { expiryMs, ttl: ttlText(rule), min: EXPIRY_MS_MIN, max: EXPIRY_MS_MAX },
      hint: 'restore with another --ttl: absolute keeps such a time, persist drops it',
    },
  );
}

function movedExpiry(rule: TtlRule, expiryMs: number): number | null {
  switch (rule.mode) {
    case 'absolute':
      return expiryMs;
    case 'remaining':
      return rule.nowMs + (expiryMs - rule.atMs);
    case 'rebase':
      return rule.toMs + (expiryMs - rule.atMs);
    case 'shift':
      return expiryMs + rule.byMs;
    case 'persist':
      return null;
  }
}

/**
 * A choice as it is written on the command line: `remaining`, `rebase:2026-11-21T10:00:00Z`,
 * `shift:-90m`. A whole second stands for its end, as everywhere.
 */
export function ttlText(choice: TtlChoice): string {
  switch (choice.mode) {
    case 'rebase': {
      const iso = new Date(choice.toMs).toISOString();
      return `rebase:${iso.replace('.999Z', 'Z')}`;
    }
    case 'shift':
      return `shift:${durationText(choice.byMs)}`;
    default:
      return choice.mode;
  }
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** In the largest unit that leaves no rest, with its sign. */
function durationText(ms: number): string {
  const sign = ms < 0 ? '-' : '+';
  const size = Math.abs(ms);
  const [unit, factor] = UNITS.find(([, one]) => size >= one && size % one === 0) ?? ['ms', 1];
  return `${sign}${(size / factor).toString()}${unit}`;
}
