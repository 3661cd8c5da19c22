import { writerLogKey, type PlannedSegment, type PlannedSnapshot } from '@tidemark/archive';
import type { ClockStep, HoleReason, SegmentHeader } from '@tidemark/archive';
import type { ObjectRef, RdbSummaryJson, SnapshotStored } from '../model/events.ts';

/** Where the log says an object is, and how to read it from there. */
export interface StoredObject extends ObjectRef {
  readonly iid: string;
  readonly shard: string;
  readonly writer: string;
  /** Sequence number of the entry that names it. */
  readonly seq: number;
  /** Object to read: its own key, or the entry's when it is the body of its entry. */
  readonly readKey: string;
  /** First byte of the sealed container in `readKey`. */
  readonly readStart: number;
}

/** A segment as the catalog knows it; goes into `planReads` as it is. */
export interface CatalogSegment extends PlannedSegment {
  readonly header: SegmentHeader;
  readonly object: StoredObject;
  /** Steps back of the clock before it in its timeline. */
  readonly stretch: number;
  readonly provenTo: number | null;
  readonly atMs: number;
}

/** A snapshot as the catalog knows it; goes into `planReads` as it is. */
export interface CatalogSnapshot extends PlannedSnapshot {
  readonly backup: string;
  /** First second that can be restored from it. */
  readonly from: number;
  readonly mode: SnapshotStored['mode'];
  readonly startedMs: number;
  readonly endedMs: number;
  readonly rdbBytes: number;
  readonly summary: RdbSummaryJson;
  readonly object: StoredObject;
}

/** Node facts as the catalog knows them. */
export interface CatalogFacts {
  readonly object: StoredObject;
  /** When they were taken, Unix milliseconds. */
  readonly takenMs: number;
}

/** A timeline as the catalog knows it. */
export interface CatalogTimeline {
  readonly iid: string;
  readonly shard: string;
  readonly writer: string;
  readonly timeline: string;
  readonly source: 'aof' | 'psync';
  readonly openedBecause: 'attach' | HoleReason;
  readonly openedMs: number;
  readonly previous: string | null;
  /** Whether it was proven that nothing is missing between `previous` and this one. */
  readonly joined: boolean;
  readonly node: { readonly runId: string; readonly version: string; readonly product: string };
  /** Durable end. */
  readonly end: bigint;
  /** First second that its first snapshot serves, and where that stands. */
  readonly from: number | null;
  readonly fromOffset: bigint | null;
  /** Latest second proven since the last step back of the clock. */
  readonly provenTo: number | null;
  /** Steps of the clock, in offset order. */
  readonly steps: readonly ClockStep[];
  /** Steps back before those, whose entries are gone. */
  readonly forgottenStepsBack: number;
  readonly closed: {
    readonly reason: HoleReason;
    readonly atMs: number;
    readonly detail: string;
  } | null;
}

/** A row with 64-bit integers as bigint. */
export type Row = Readonly<Record<string, bigint | string | Buffer | null>>;

/** Reads a segment row joined with its timeline and writer. */
export function segmentOf(row: Row): CatalogSegment {
  const level = num(row, 'level');
  const header: SegmentHeader = {
    timeline: str(row, 'timeline'),
    start: big(row, 'start_offset'),
    end: big(row, 'end_offset'),
    db: num(row, 'db'),
    maxDb: num(row, 'max_db'),
    inMulti: num(row, 'in_multi') === 1,
    partialBytes: num(row, 'partial_bytes'),
    commands: num(row, 'commands'),
    rawBytes: num(row, 'raw_bytes'),
    firstSecond: numOrNull(row, 'first_second'),
    lastSecond: numOrNull(row, 'last_second'),
    frames: num(row, 'frames'),
    indexKind: str(row, 'index_kind') as SegmentHeader['indexKind'],
    ...(level > 0 && { level }),
  };
  return {
    level,
    timeline: header.timeline,
    start: header.start,
    end: header.end,
    header,
    object: objectOf(row),
    stretch: num(row, 'stretch'),
    provenTo: numOrNull(row, 'proven_to'),
    atMs: num(row, 'at_ms'),
  };
}

/** Reads a snapshot row joined with its timeline and writer. */
export function snapshotOf(row: Row): CatalogSnapshot {
  return {
    timeline: str(row, 'timeline'),
    offset: big(row, 'stream_offset'),
    backup: str(row, 'backup'),
    from: num(row, 'from_second'),
    mode: str(row, 'mode') as SnapshotStored['mode'],
    startedMs: num(row, 'started_ms'),
    endedMs: num(row, 'ended_ms'),
    rdbBytes: num(row, 'rdb_bytes'),
    summary: JSON.parse(str(row, 'summary')) as RdbSummaryJson,
    object: objectOf(row),
  };
}

/** Reads a row of a step of the clock. */
export function stepOf(row: Row): ClockStep {
  return {
    direction: str(row, 'direction') as ClockStep['direction'],
    before: big(row, 'before_offset'),
    offset: big(row, 'at_offset'),
    untilMs: num(row, 'until_ms'),
    fromMs: num(row, 'from_ms'),
    toMs: num(row, 'to_ms'),
    sinceMs: num(row, 'since_ms'),
    provenTo: numOrNull(row, 'proven_to'),
  };
}

/** Reads a timeline row joined with its writer. */
export function timelineOf(row: Row, steps: readonly ClockStep[]): CatalogTimeline {
  const closedReason = row['closed_reason'];
  return {
    iid: str(row, 'iid'),
    shard: str(row, 'shard'),
    writer: str(row, 'writer'),
    timeline: str(row, 'timeline'),
    source: str(row, 'source') as CatalogTimeline['source'],
    openedBecause: str(row, 'opened_reason') as CatalogTimeline['openedBecause'],
    openedMs: num(row, 'opened_ms'),
    previous: strOrNull(row, 'previous'),
    joined: num(row, 'joined') === 1,
    node: { runId: str(row, 'run_id'), version: str(row, 'version'), product: str(row, 'product') },
    end: big(row, 'end_offset'),
    from: numOrNull(row, 'from_second'),
    fromOffset: bigOrNull(row, 'from_offset'),
    provenTo: numOrNull(row, 'proven_to'),
    steps,
    forgottenStepsBack: num(row, 'forgotten_steps_back'),
    closed:
      closedReason === null
        ? null
        : {
            reason: closedReason as HoleReason,
            atMs: num(row, 'closed_ms'),
            detail: str(row, 'closed_detail'),
          },
  };
}

/** Reads the object columns of a row joined with its writer. */
export function objectOf(row: Row): StoredObject {
  const place = { iid: str(row, 'iid'), shard: str(row, 'shard'), writer: str(row, 'writer') };
  const seq = num(row, 'seq');
  const key = strOrNull(row, 'object_key');
  return {
    ...place,
    seq,
    key,
    size: num(row, 'object_size'),
    digest: (row['object_digest'] as Buffer).toString('hex'),
    dekId: (row['object_dek'] as Buffer).toString('hex'),
    kind: num(row, 'object_kind'),
    readKey: key ?? writerLogKey(place.iid, place.shard, place.writer, seq),
    readStart: key === null ? num(row, 'body_offset') : 0,
  };
}

// Rows come from tables of our own with STRICT types: a wrong type is a fault of this package.
function str(row: Row, name: string): string {
  return row[name] as string;
}

function strOrNull(row: Row, name: string): string | null {
  return row[name] as string | null;
}

function big(row: Row, name: string): bigint {
  return row[name] as bigint;
}

function bigOrNull(row: Row, name: string): bigint | null {
  return row[name] as bigint | null;
}

function num(row: Row, name: string): number {
  return Number(row[name]);
}

function numOrNull(row: Row, name: string): number | null {
  const value = row[name];
  return value === null || value === undefined ? null : Number(value);
}
