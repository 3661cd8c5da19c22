import {
  decide,
  type ClockStepped,
  type SnapshotStored,
  type WriterEvent,
  type WriterState,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';

/** Whether an event found in the spool goes on exactly where the log ends, and is not in it yet. */
export function followsLog(event: WriterEvent, state: WriterState): boolean {
  const { timeline } = state;
  if (event.type === 'SnapshotStored' && isBehind(event, timeline?.snapshot ?? null)) return false;
  if (event.type === 'ClockStepped' && timeline?.steps.some((step) => isSameStep(step, event))) {
    return false;
  }
  try {
    decide(state, event);
    return true;
  } catch (cause) {
    if (cause instanceof TidemarkError && cause.code === 'TM_LOG_STATE') return false;
    throw cause;
  }
}

/** A later one may stand at the same offset: nothing was written between the two. */
function isBehind(
  { offset, backup }: SnapshotStored,
  newest: { readonly offset: bigint; readonly backup: string } | null,
): boolean {
  if (newest === null || offset > newest.offset) return false;
  return offset < newest.offset || backup === newest.backup;
}

type Step = Pick<ClockStepped, 'direction' | 'offset' | 'fromMs' | 'toMs' | 'sinceMs'>;

/** Its entry was logged just before a crash. */
function isSameStep(one: Step, other: Step): boolean {
  const fields = ['direction', 'offset', 'fromMs', 'toMs', 'sinceMs'] as const;
  return fields.every((field) => one[field] === other[field]);
}

/** The log is another archiver's now. To claim it back would depose that one in turn. */
export function isLost(cause: unknown): boolean {
  if (!(cause instanceof TidemarkError)) return false;
  return cause.code === 'TM_LOG_OWNER' || cause.code === 'TM_LOG_CONFLICT';
}
