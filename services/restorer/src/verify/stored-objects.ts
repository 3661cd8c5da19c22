import { NODE_FACTS_PLACE, writerLogKey, type SegmentHeader } from '@tidemark/archive';
import type {
  KeptRows,
  LogEntry,
  ObjectRef,
  SnapshotStored,
  StreamState,
  WriterLogId,
} from '@tidemark/catalog';
import type { PlannedObject } from '../plan/restore-plan.ts';

/** What the log says of a segment. */
export interface LoggedSegment {
  readonly kind: 'segment';
  readonly object: PlannedObject;
  readonly header: SegmentHeader;
  /** State of the command stream at its end; null where the log does not say. */
  readonly after: StreamState | null;
}

/** What the log says of a snapshot. */
export interface LoggedSnapshot {
  readonly kind: 'snapshot';
  readonly object: PlannedObject;
  readonly event: Omit<SnapshotStored, 'type' | 'object'>;
}

/** An object that a log names, and what it should hold. */
export type LoggedObject =
  LoggedSegment | LoggedSnapshot | { readonly kind: 'facts'; readonly object: PlannedObject };

/** The object that an entry names; null when it names none. */
export function objectOfEntry(entry: LogEntry, log: WriterLogId): LoggedObject | null {
  const { event, seq, bodyOffset } = entry;
  if (!('object' in event)) return null;
  const named = { seq, bodyOffset, object: event.object };
  switch (event.type) {
    case 'SegmentStored':
      return segmentOf(named, log, event.segment, event.after);
    case 'SegmentsMerged':
      return segmentOf(named, log, event.segment, null);
    case 'SnapshotStored':
      return snapshotOf(named, log, event);
    case 'NodeFactsStored':
      return factsOf(named, log);
  }
}

/** The objects that checkpoints name in place of entries that are gone. */
export function* objectsOfRows(
  rows: readonly KeptRows[],
  log: WriterLogId,
): Generator<LoggedObject, void, undefined> {
  for (const { segments, snapshots, facts } of rows) {
    for (const row of snapshots) yield snapshotOf(row, log, row.event);
    for (const row of segments) yield segmentOf(row, log, row.header, null);
    for (const row of facts) yield factsOf(row, log);
  }
}

interface Named {
  readonly seq: number;
  readonly bodyOffset: number;
  readonly object: ObjectRef;
}

function segmentOf(
  named: Named,
  log: WriterLogId,
  header: SegmentHeader,
  after: StreamState | null,
): LoggedSegment {
  const { timeline, start } = header;
  return { kind: 'segment', object: placed(named, log, { timeline, start }), header, after };
}

function snapshotOf(
  named: Named,
  log: WriterLogId,
  event: LoggedSnapshot['event'],
): LoggedSnapshot {
  const { timeline, offset: start } = event;
  return { kind: 'snapshot', object: placed(named, log, { timeline, start }), event };
}

function factsOf(named: Named, log: WriterLogId): LoggedObject {
  return { kind: 'facts', object: placed(named, log, NODE_FACTS_PLACE) };
}

function placed(
  { seq, bodyOffset, object }: Named,
  log: WriterLogId,
  place: { readonly timeline: string; readonly start: bigint },
): PlannedObject {
  const { key } = object;
  const readKey = key ?? writerLogKey(log.iid, log.shard, log.writer, seq);
  const readStart = key === null ? bodyOffset : 0;
  return { ref: { ...object, ...log, seq, readKey, readStart }, ...place };
}
