import type { InstanceTimes } from './policy-desk.ts';

/** Pause behind the first failure; it doubles up to the second value. Milliseconds. */
const FIRST_PAUSE_MS = 60_000;
const PAUSE_MS_MAX = 3_600_000;
/** A run that is older is given up, however far the next one is. */
const AGE_MS_MAX = 86_400_000;
const TRIES_MAX = 32;

/** A run whose job has failed. */
export interface FailedRun {
  /** The time that the policy names. */
  readonly dueMs: number;
  /** How often it was asked for again. */
  readonly tries: number;
  readonly nowMs: number;
  /** When runs are due now; null where that is not known. */
  readonly times: InstanceTimes | null;
}

/**
 * After which pause a run is asked for again whose job has failed.
 * @returns Milliseconds; null: not any more, since the next run takes its place, or it is too old.
 */
export function afterFailure({ dueMs, tries, nowMs, times }: FailedRun): number | null {
  const nextMs = times?.table.next(dueMs) ?? null;
  const isNextDue = nextMs !== null && nowMs >= nextMs + (times?.staggerMs ?? 0);
  if (isNextDue || nowMs - dueMs >= AGE_MS_MAX || tries >= TRIES_MAX) return null;
  return Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** Math.min(tries, 16));
}
