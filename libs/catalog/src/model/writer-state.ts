import type { ClockStep, HoleReason } from '@tidemark/archive';
import type { StreamState, TailCursorJson } from './events.ts';

/** Who holds a writer log. */
export interface WriterOwner {
  readonly generation: number;
  readonly ownerId: string;
  /** When it claimed the log. */
  readonly atMs: number;
  readonly tookOver: boolean;
  /** Whether it stopped cleanly; then anybody may claim at once. */
  readonly released: boolean;
}

/** The newest snapshot (by offset) of a timeline. */
export interface SnapshotMark {
  readonly backup: string;
  readonly offset: bigint;
  /** Bytes of the RDB; the archiver compares the log since then with it. */
  readonly rdbBytes: number;
  readonly endedMs: number;
}

/** The newest timeline of a writer. */
export interface TimelineState {
  readonly timeline: string;
  readonly source: 'aof' | 'psync';
  readonly reason: 'attach' | HoleReason;
  readonly previous: string | null;
  readonly openedMs: number;
  readonly node: { readonly runId: string; readonly version: string; readonly product: string };
  /** `null` while it is open. */
  readonly closed: {
    readonly reason: HoleReason;
    readonly atMs: number;
    readonly detail: string;
  } | null;
  /** Durable offset: the end of the last segment. */
  readonly end: bigint;
  /** Stream state at `end`. */
  readonly after: StreamState;
  /** Latest second proven by a durable mark since the last step back of the clock. */
  readonly provenTo: number | null;
  /** First second that the first snapshot serves, and where it stands. */
  readonly from: number | null;
  readonly fromOffset: bigint | null;
  /** Steps of the clock, the newest `STEPS_KEPT` of them. */
  readonly steps: readonly ClockStep[];
  /** Steps back that are kept no more. */
  readonly forgottenStepsBack: number;
  /** Where the AOF tail goes on; belongs to `end`. */
  readonly cursor: TailCursorJson | null;
  readonly snapshot: SnapshotMark | null;
}

/** The fold of a writer log. */
export interface WriterState {
  /** Sequence number of the last entry; -1 for an empty log. */
  readonly seq: number;
  /** Digest of the last entry, 64 hex; zeros for an empty log. */
  readonly digest: string;
  /** Time that the last entry states. */
  readonly lastEntryMs: number | null;
  readonly owner: WriterOwner | null;
  readonly timeline: TimelineState | null;
}

/**
 * Steps of the clock that the fold keeps. Older ones stand in their entries; where retention took
 * those it took the segments before them too.
 */
export const STEPS_KEPT = 64;

/** How often the clock stepped back in a timeline: the number of its present stretch. */
export function stretchOf(timeline: TimelineState): number {
  const kept = timeline.steps.filter(({ direction }) => direction === 'back').length;
  return timeline.forgottenStepsBack + kept;
}

/** Predecessor of the first entry of a log. */
export const NO_DIGEST = '0'.repeat(64);

/** The fold of no entries. */
export const EMPTY_WRITER_STATE: WriterState = {
  seq: -1,
  digest: NO_DIGEST,
  lastEntryMs: null,
  owner: null,
  timeline: null,
};

/** Command bytes that a restore from the newest snapshot replays; from 0 if there is none. */
export function logBytesSinceSnapshot(timeline: TimelineState): number {
  const from = timeline.snapshot?.offset ?? 0n;
  return from < timeline.end ? Number(timeline.end - from) : 0;
}
