import { CatalogError } from '@tidemark/core';
import type { ClockStepped, SnapshotStored, WriterEvent } from './events.ts';
import { refusalOf } from './writer-rules.ts';
import { STEPS_KEPT, type TimelineState, type WriterState } from './writer-state.ts';

/**
 * The state after one more entry.
 *
 * @param seq - Sequence number of the entry: one more than `state.seq`.
 * @param digest - Digest of the entry, 64 hex.
 * @throws CatalogError `TM_LOG_STATE` when the event may not follow the state.
 */
export function evolve(
  state: WriterState,
  event: WriterEvent,
  seq: number,
  digest: string,
): WriterState {
  if (seq !== state.seq + 1) throw stateError(seq, event.type, `follows ${state.seq}`);
  refuse(state, event);
  return { ...apply(state, event), seq, digest, lastEntryMs: eventMs(event) };
}

/**
 * Asks whether an event may be appended now.
 *
 * @returns The event.
 * @throws CatalogError `TM_LOG_STATE` when it may not, with the reason.
 */
export function decide(state: WriterState, event: WriterEvent): WriterEvent {
  refuse(state, event);
  return event;
}

/** The time an event states, in Unix milliseconds. */
export function eventMs(event: WriterEvent): number {
  return event.type === 'SnapshotStored' ? event.endedMs : event.atMs;
}

function refuse(state: WriterState, event: WriterEvent): void {
  const reason = refusalOf(state, event);
  if (reason !== null) throw stateError(state.seq + 1, event.type, reason);
}

function stateError(seq: number, event: string, reason: string): CatalogError {
  return new CatalogError('TM_LOG_STATE', `${event} is not allowed as entry ${seq}: ${reason}`, {
    context: { seq, event },
  });
}

function apply(state: WriterState, event: WriterEvent): WriterState {
  switch (event.type) {
    case 'OwnerClaimed': {
      const { generation, ownerId, atMs, tookOver } = event;
      return { ...state, owner: { generation, ownerId, atMs, tookOver, released: false } };
    }
    case 'Released':
      return { ...state, owner: state.owner && { ...state.owner, released: true } };
    case 'NodeFactsStored':
    case 'HoleProven':
    case 'SegmentsMerged':
      return state;
    case 'TimelineOpened':
      return { ...state, timeline: openTimeline(event) };
    default:
      return { ...state, timeline: state.timeline && applyToTimeline(state.timeline, event) };
  }
}

function openTimeline(event: Extract<WriterEvent, { type: 'TimelineOpened' }>): TimelineState {
  const { timeline, source, reason, previous, atMs, node } = event;
  return {
    timeline,
    source,
    reason,
    previous,
    openedMs: atMs,
    node: { runId: node.runId, version: node.version, product: node.product },
    closed: null,
    end: 0n,
    after: { db: 0, inMulti: false, partialBytes: 0 },
    provenTo: null,
    from: null,
    fromOffset: null,
    steps: [],
    forgottenStepsBack: 0,
    cursor: null,
    snapshot: null,
  };
}

type TimelineEvent = Extract<
  WriterEvent,
  { type: 'SegmentStored' | 'SnapshotStored' | 'Heartbeat' | 'TimelineClosed' | 'ClockStepped' }
>;

function applyToTimeline(timeline: TimelineState, event: TimelineEvent): TimelineState {
  switch (event.type) {
    case 'SegmentStored': {
      const { segment, after, cursor } = event;
      const provenTo = later(timeline.provenTo, event.provenTo);
      return { ...timeline, end: segment.end, after, cursor, provenTo };
    }
    case 'SnapshotStored':
      return applySnapshot(timeline, event);
    case 'Heartbeat':
      return { ...timeline, provenTo: later(timeline.provenTo, event.provenTo) };
    case 'ClockStepped':
      return applyStep(timeline, event);
    case 'TimelineClosed': {
      const closed = { reason: event.reason, atMs: event.atMs, detail: event.detail };
      return { ...timeline, closed, provenTo: later(timeline.provenTo, event.provenTo) };
    }
  }
}

function applySnapshot(timeline: TimelineState, event: SnapshotStored): TimelineState {
  const first = firstServed(timeline, event);
  if (timeline.snapshot !== null && timeline.snapshot.offset > event.offset) {
    return { ...timeline, ...first };
  }
  const { backup, offset, rdbBytes, endedMs } = event;
  return { ...timeline, ...first, snapshot: { backup, offset, rdbBytes, endedMs } };
}

/** By offset, not by time: after a step back of the clock a later snapshot has an earlier second. */
function firstServed(
  { from, fromOffset }: TimelineState,
  event: SnapshotStored,
): Pick<TimelineState, 'from' | 'fromOffset'> {
  const { offset } = event;
  if (from === null || fromOffset === null || offset < fromOffset) {
    return { from: event.from, fromOffset: offset };
  }
  return { from: offset === fromOffset ? Math.min(from, event.from) : from, fromOffset };
}

/** What was proven before a step back says nothing of the time after it. */
function applyStep(timeline: TimelineState, event: ClockStepped): TimelineState {
  const { direction, before, offset, untilMs, fromMs, toMs, sinceMs } = event;
  const back = direction === 'back';
  const provenTo = back ? later(timeline.provenTo, event.provenTo) : null;
  const step = { direction, before, offset, untilMs, fromMs, toMs, sinceMs, provenTo };
  const all = [...timeline.steps, step];
  const gone = all.slice(0, Math.max(0, all.length - STEPS_KEPT));
  const goneBack = gone.filter((one) => one.direction === 'back').length;
  return {
    ...timeline,
    provenTo: back ? null : timeline.provenTo,
    steps: all.slice(gone.length),
    forgottenStepsBack: timeline.forgottenStepsBack + goneBack,
  };
}

/** What was proven stays proven until the clock steps back. */
function later(before: number | null, now: number | null): number | null {
  if (before === null) return now;
  return now === null ? before : Math.max(before, now);
}
