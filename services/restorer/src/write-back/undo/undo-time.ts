import type { Clock } from '@tidemark/core';
import { storeTime, type ObjectStore } from '@tidemark/store';

/** Who is asked what time it is. */
export interface UndoTimePorts {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The time by which undo packs may be deleted: the earliest that anybody tells. A clock that is ahead makes
 * no pack old as long as one other is right.
 * @param others - What else tells the time, Unix milliseconds.
 * @throws StoreError.
 */
export async function undoTimeMs(
  { store, clock, signal }: UndoTimePorts,
  ...others: readonly number[]
): Promise<number> {
  const storeMs = await storeTime(store, signal);
  return Math.min(clock.nowMs(), storeMs ?? Infinity, ...others);
}
