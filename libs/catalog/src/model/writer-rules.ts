import type {
  ClockStepped,
  Heartbeat,
  HoleProven,
  SegmentsMerged,
  SegmentStored,
  SnapshotStored,
  TimelineClosed,
  TimelineOpened,
  WriterEvent,
} from './events.ts';
import {
  stretchOf,
  type TimelineState,
  type WriterOwner,
  type WriterState,
} from './writer-state.ts';

/**
 * Why an event may not follow a state; `null` when it may.
 *
 * The same rules hold for what is about to be written (`decide`) and for what is read (`evolve`):
 * a log that breaks them was not written by this program.
 */
export function refusalOf(state: WriterState, event: WriterEvent): string | null {
  if (event.type === 'OwnerClaimed') {
    const last = state.owner?.generation ?? 0;
    if (event.generation > last) return null;
    return `generation ${event.generation} does not rise above ${last}`;
  }
  const { owner, timeline } = state;
  if (owner === null) return 'no owner has claimed the log';
  if (owner.released) return `generation ${owner.generation} has released the log`;
  switch (event.type) {
    case 'TimelineOpened':
      return refuseOpened(timeline, event);
    case 'SegmentStored':
      return refuseSegment(timeline, event);
    case 'SegmentsMerged':
      return refuseMerged(timeline, event);
    case 'SnapshotStored':
      return refuseSnapshot(timeline, event);
    case 'Heartbeat':
      return refuseHeartbeat(timeline, event);
    case 'TimelineClosed':
      return refuseClosed(timeline, event);
    case 'ClockStepped':
      return refuseStep(timeline, event);
    case 'NodeFactsStored':
      return null;
    case 'HoleProven':
      return refuseProven(timeline, event);
    case 'Released':
      return refuseReleased(owner, event.generation);
  }
}

function refuseReleased(owner: WriterOwner, generation: number): string | null {
  if (generation === owner.generation) return null;
  return `generation ${generation} cannot release what ${owner.generation} holds`;
}

function refuseOpened(timeline: TimelineState | null, event: TimelineOpened): string | null {
  if (timeline !== null && timeline.closed === null) {
    return `timeline ${timeline.timeline} is open`;
  }
  const previous = timeline?.timeline ?? null;
  if (event.previous !== previous) {
    return `previous timeline is ${String(previous)}, not ${String(event.previous)}`;
  }
  return event.timeline === previous ? `timeline ${event.timeline} was there before` : null;
}

function refuseOther(timeline: TimelineState | null, wanted: string): string | null {
  if (timeline === null) return 'no timeline was opened';
  if (timeline.timeline !== wanted) return `timeline is ${timeline.timeline}, not ${wanted}`;
  return null;
}

function refuseNotOpen(timeline: TimelineState | null, wanted: string): string | null {
  const other = refuseOther(timeline, wanted);
  if (other !== null) return other;
  return timeline?.closed == null ? null : `timeline ${wanted} is closed`;
}

function refuseSegment(timeline: TimelineState | null, event: SegmentStored): string | null {
  const { segment } = event;
  const closed = refuseNotOpen(timeline, segment.timeline);
  if (closed !== null || timeline === null) return closed;
  if (segment.start !== timeline.end) {
    return `segment starts at ${segment.start}, the timeline ends at ${timeline.end}`;
  }
  if (segment.end <= segment.start) return `segment ends at ${segment.end}, where it starts`;
  if (BigInt(segment.rawBytes) !== segment.end - segment.start) {
    return `segment states ${segment.rawBytes} bytes for ${segment.end - segment.start}`;
  }
  // At offset 0 nothing is known yet: which database a first SELECT finds is the decoder's matter.
  const known = timeline.end > 0n;
  const { after } = timeline;
  if (known && segment.db !== after.db) {
    return `segment starts in database ${segment.db}, the stream is in ${after.db}`;
  }
  if (segment.inMulti !== after.inMulti) return 'segment and stream disagree on MULTI';
  if (segment.partialBytes !== after.partialBytes) {
    return `segment starts ${segment.partialBytes} bytes into a command, not ${after.partialBytes}`;
  }
  return null;
}

/** Of older timelines the fold does not know how far they reach: nothing is merged in them. */
function refuseMerged(timeline: TimelineState | null, event: SegmentsMerged): string | null {
  const { segment, stretch } = event;
  const other = refuseOther(timeline, segment.timeline);
  if (other !== null || timeline === null) return other;
  if (segment.end <= segment.start) return `segment ends at ${segment.end}, where it starts`;
  if (segment.end > timeline.end) {
    return `segment ends at ${segment.end}, beyond the durable end ${timeline.end}`;
  }
  if (BigInt(segment.rawBytes) !== segment.end - segment.start) {
    return `segment states ${segment.rawBytes} bytes for ${segment.end - segment.start}`;
  }
  return stretch <= stretchOf(timeline) ? null : `stretch ${stretch} has not begun`;
}

function refuseSnapshot(timeline: TimelineState | null, event: SnapshotStored): string | null {
  const other = refuseOther(timeline, event.timeline);
  if (other !== null || timeline === null) return other;
  // While the timeline is open its log may still catch up with a base that was faster.
  if (timeline.closed !== null && event.offset > timeline.end) {
    return `snapshot at ${event.offset} is beyond the end ${timeline.end} of a closed timeline`;
  }
  return null;
}

function refuseHeartbeat(timeline: TimelineState | null, event: Heartbeat): string | null {
  if (timeline === null || timeline.closed !== null) {
    if (event.timeline !== null) return `timeline ${event.timeline} is not open`;
    return event.offset === 0n ? null : `offset ${event.offset} without a timeline`;
  }
  if (event.timeline !== timeline.timeline) {
    return `timeline is ${timeline.timeline}, not ${String(event.timeline)}`;
  }
  // A sign of life may have waited for its turn behind a segment.
  if (event.offset <= timeline.end) return null;
  return `offset ${event.offset} is beyond the durable end ${timeline.end}`;
}

function refuseStep(timeline: TimelineState | null, event: ClockStepped): string | null {
  const closed = refuseNotOpen(timeline, event.timeline);
  if (closed !== null || timeline === null) return closed;
  const { before, offset } = event;
  if (before > offset) return `step after ${before} and before ${offset}`;
  if (offset > timeline.end) return `step at ${offset} is beyond the durable end ${timeline.end}`;
  const last = timeline.steps.at(-1)?.offset ?? 0n;
  return offset < last ? `step at ${offset} lies before that at ${last}` : null;
}

/** Of older timelines the fold knows nothing: the projection looks at those. */
function refuseProven(timeline: TimelineState | null, event: HoleProven): string | null {
  const { closed, opened } = event;
  if (timeline === null) return 'no timeline was opened';
  if (closed === opened || closed === timeline.timeline) return `timeline ${closed} is the newest`;
  if (opened !== timeline.timeline || closed === timeline.previous) return null;
  return `the timeline before ${opened} is ${String(timeline.previous)}, not ${closed}`;
}

function refuseClosed(timeline: TimelineState | null, event: TimelineClosed): string | null {
  const closed = refuseNotOpen(timeline, event.timeline);
  if (closed !== null || timeline === null) return closed;
  if (event.offset === timeline.end) return null;
  return `offset ${event.offset} is not the durable end ${timeline.end}`;
}
