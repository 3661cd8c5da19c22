import type { ClockStep, HoleReason, SegmentHeader } from '@tidemark/archive';

/** Where a sealed object lies and which one it is. */
export interface ObjectRef {
  /** Object key; `null` = the body of the log entry that holds this reference. */
  readonly key: string | null;
  /** Sealed bytes. */
  readonly size: number;
  /** Digest of the sealed object, 64 hex. */
  readonly digest: string;
  /** Data key, 32 hex. */
  readonly dekId: string;
  /** A number of `OBJECT_KIND` of \@tidemark/crypto. */
  readonly kind: number;
}

/** Where the AOF tail goes on after a restart: the state of the tail at `segment.end`. */
export interface TailCursorJson {
  readonly file: string;
  readonly seq: number;
  readonly dev: string;
  readonly ino: string;
  /** Physical bytes of the file that were taken. */
  readonly position: number;
  /** SHA-256 (64 hex) of the last `digestBytes` bytes before `position`. */
  readonly digest: string;
  readonly digestBytes: number;
}

/** Counts of a snapshot, as the RDB scanner gives them (`RdbSummary` of \@tidemark/rdb). */
export interface RdbSummaryJson {
  readonly product: 'redis' | 'valkey';
  readonly version: number;
  readonly bytes: number;
  readonly keys: number;
  readonly expires: number;
  readonly maxDb: number;
  readonly databases: readonly {
    readonly db: number;
    readonly keys: number;
    readonly expires: number;
  }[];
  readonly types: Readonly<Record<string, number>>;
  readonly minVersion: number;
  readonly functions: number;
  readonly modules: readonly string[];
  /**
   * Auxiliary fields. `append` keeps only a closed list of names: the header is clear, and a
   * server may write scripts into auxiliary fields.
   */
  readonly aux: Readonly<Record<string, string>>;
  readonly fieldTtl: boolean;
  readonly largestEntryBytes: number;
  readonly checksum: 'verified' | 'absent';
}

/** State of the command stream at an offset: what a decoder needs to go on there. */
export interface StreamState {
  readonly db: number;
  readonly inMulti: boolean;
  /** Bytes before the offset that belong to a command not finished there. */
  readonly partialBytes: number;
}

/** An owner takes the writer log. Every entry after it carries its generation. */
export interface OwnerClaimed {
  readonly type: 'OwnerClaimed';
  /** 1 or more; higher than any before. */
  readonly generation: number;
  /** Id of the spool; the same spool may always go on. */
  readonly ownerId: string;
  readonly atMs: number;
  /** Whether another owner held the log and had not released it. */
  readonly tookOver: boolean;
}

/** A new unbroken stream begins at offset 0. */
export interface TimelineOpened {
  readonly type: 'TimelineOpened';
  readonly timeline: string;
  readonly source: 'aof' | 'psync';
  readonly reason: 'attach' | HoleReason;
  /** The timeline before it in this log, or `null`. */
  readonly previous: string | null;
  readonly atMs: number;
  readonly node: { readonly runId: string; readonly version: string; readonly product: string };
}

/** A segment is durable. Its start is the end of the one before. */
export interface SegmentStored {
  readonly type: 'SegmentStored';
  readonly segment: SegmentHeader;
  /** Stream state at `segment.end`; the next segment's header repeats it. */
  readonly after: StreamState;
  readonly object: ObjectRef;
  /** Latest second since the last step back of the clock that this segment proves. */
  readonly provenTo: number | null;
  readonly cursor: TailCursorJson | null;
  readonly atMs: number;
}

/** Entries of captured segments: the first and the last of those that a merged one holds. */
export interface CapturedEntries {
  readonly first: number;
  readonly last: number;
}

/** The header of a merged segment: it has a level. */
export type MergedHeader = SegmentHeader & { readonly level: number };

/**
 * A merged segment is durable: it holds what segments of lower levels of the newest timeline hold,
 * and takes their place. They stay where they are until retention deletes them.
 */
export interface SegmentsMerged {
  readonly type: 'SegmentsMerged';
  readonly segment: MergedHeader;
  /** Steps back of the clock before it in its timeline. */
  readonly stretch: number;
  /** Segments that it holds, of whatever level. */
  readonly count: number;
  /** They tell where in the files of the node it begins and ends. */
  readonly captured: CapturedEntries;
  readonly object: ObjectRef;
  /** Latest second that the segments it holds prove, as they said. */
  readonly provenTo: number | null;
  /** When the last segment that it holds was stored. */
  readonly throughMs: number;
  readonly atMs: number;
}

/** A snapshot is durable: the dataset at exactly `offset` of the timeline. */
export interface SnapshotStored {
  readonly type: 'SnapshotStored';
  readonly backup: string;
  readonly timeline: string;
  readonly offset: bigint;
  /** First second that can be restored from it. */
  readonly from: number;
  readonly mode: 'attach' | 'automated' | 'manual';
  readonly startedMs: number;
  readonly endedMs: number;
  readonly summary: RdbSummaryJson;
  readonly rdbBytes: number;
  readonly object: ObjectRef;
}

/** A sign of life; `offset` is a durable offset of the open timeline (0 if none is open). */
export interface Heartbeat {
  readonly type: 'Heartbeat';
  readonly timeline: string | null;
  readonly offset: bigint;
  readonly provenTo: number | null;
  readonly atMs: number;
}

/** The open timeline ends at its durable end. */
export interface TimelineClosed {
  readonly type: 'TimelineClosed';
  readonly timeline: string;
  readonly offset: bigint;
  readonly reason: HoleReason;
  readonly provenTo: number | null;
  /** One line for the reader, at most 1,024 characters. */
  readonly detail: string;
  readonly atMs: number;
}

/**
 * The server's clock stepped within the open timeline. Segments stored before it hold no mark from
 * after a step back, segments after it none from before.
 */
export interface ClockStepped extends ClockStep {
  readonly type: 'ClockStepped';
  readonly timeline: string;
  readonly atMs: number;
}

/** Version, modules, command table and settings of the node are stored. */
export interface NodeFactsStored {
  readonly type: 'NodeFactsStored';
  readonly object: ObjectRef;
  readonly atMs: number;
}

/**
 * The dataset at the end of one timeline was found equal to that at the beginning of the next: no
 * write is missing between them.
 */
export interface HoleProven {
  readonly type: 'HoleProven';
  /** The timeline that was closed. */
  readonly closed: string;
  /** The timeline that was opened after it. */
  readonly opened: string;
  readonly atMs: number;
}

/** A clean stop: the next owner need not wait. */
export interface Released {
  readonly type: 'Released';
  readonly generation: number;
  readonly atMs: number;
}

/** Every fact a writer log can hold. Offsets are decimal strings on the wire. */
export type WriterEvent =
  | OwnerClaimed
  | TimelineOpened
  | SegmentStored
  | SegmentsMerged
  | SnapshotStored
  | Heartbeat
  | TimelineClosed
  | ClockStepped
  | NodeFactsStored
  | HoleProven
  | Released;

/** The name of a writer event. */
export type WriterEventType = WriterEvent['type'];
