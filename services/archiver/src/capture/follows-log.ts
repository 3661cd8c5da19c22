import type { WriterEvent, WriterState } from '@tidemark/catalog';
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
