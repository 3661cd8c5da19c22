import { shownKey } from '@tidemark/selector';
import type { KeyDifference, KeyState, Outcome } from '../write-back/key-difference.ts';
import { HIDDEN } from '../write-back/compare/read-states.ts';

/** Bytes of a key that are shown. */
const KEY_BYTES_SHOWN = 1_024;

/** A key at one end, for people. */
export interface SampleState {
  /** Null: an expired key tells no type. */
  readonly type: string | null;
  /** As MEMORY USAGE tells. */
  readonly bytes: number;
  /** RFC 3339 UTC with milliseconds; null = none, or an expired key, which tells none. */
  readonly expiresAt: string | null;
  /** What there is of the value, where values are wanted; null = not shown. */
  readonly value: string | null;
}

/** A key and what became of it. */
export interface SampleKey {
  readonly outcome: Outcome;
  readonly db: number;
  /** With escapes, as `--key` takes it; cut after 1,024 bytes. */
  readonly key: string;
  readonly then: SampleState | null;
  readonly now: SampleState | null;
}

/** A value on either side as text, where values are wanted. */
export interface SampleValues {
  readonly then: string | null;
  readonly live: string | null;
}

/**
 * A difference as it is reported.
 * @param shiftMs - By how much expiries on both sides were moved: it is taken off again.
 */
export function sampleKey(
  { outcome, db, key, then, live }: KeyDifference,
  values: SampleValues = { then: null, live: null },
  shiftMs = 0,
): SampleKey {
  return {
    outcome,
    db,
    key: shownKey(key, KEY_BYTES_SHOWN),
    then: then && sampleState(then, values.then, shiftMs),
    now: live && sampleState(live, values.live, shiftMs),
  };
}

function sampleState(
  { type, bytes, expiryMs }: KeyState,
  value: string | null,
  shiftMs: number,
): SampleState {
  return {
    type: type === HIDDEN ? null : type,
    bytes,
    expiresAt: expiryMs === null ? null : isoMillis(expiryMs - shiftMs),
    value,
  };
}

/** Times after the year 9999 are told as numbers. */
function isoMillis(ms: number): string {
  return ms <= 253_402_300_799_999 ? new Date(ms).toISOString() : `@${(ms / 1000).toString()}`;
}
