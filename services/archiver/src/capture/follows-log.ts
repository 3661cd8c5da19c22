import type { WriterEvent, WriterState } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { openTimelineOf } from './open-timeline.ts';

/** Whether an event found in the spool goes on exactly where the log ends. */
export function followsLog(event: WriterEvent, state: WriterState): boolean {
  const open = openTimelineOf(state);
  if (open === null) return false;
  if (event.type === 'SegmentStored') {
    return event.segment.timeline === open.timeline && event.segment.start === open.end;
  }
  const newest = open.snapshot?.offset ?? -1n;
  return (
    event.type === 'SnapshotStored' && event.timeline === open.timeline && event.offset > newest
  );
}

/** The log is another archiver's now. To claim it back would depose that one in turn. */
export function isLost(cause: unknown): boolean {
  if (!(cause instanceof TidemarkError)) return false;
  return cause.code === 'TM_LOG_OWNER' || cause.code === 'TM_LOG_CONFLICT';
}
