import {
  HOLE_REASONS,
  type ClockStep,
  type HoleReason,
  type SegmentHeader,
} from '@tidemark/archive';
import type {
  CapturedEntries,
  MergedHeader,
  ObjectRef,
  RdbSummaryJson,
  SnapshotStored,
  StreamState,
  TailCursorJson,
  WriterEvent,
} from '../events.ts';
import { digest, id, keyId, line, ms, second } from './common.ts';
import {
  fields,
  flag,
  listOf,
  mapOf,
  nullable,
  offset,
  oneOf,
  text,
  unionOf,
  whole,
  type FieldShapes,
  type Shape,
} from './shape.ts';

/** Why a timeline ended. */
export const holeReason: Shape<HoleReason> = oneOf(...HOLE_REASONS);

/** Why a timeline was opened. */
export const openReason: Shape<'attach' | HoleReason> = oneOf('attach', ...HOLE_REASONS);

/** Capture source. */
export const captureSource: Shape<'aof' | 'psync'> = oneOf('aof', 'psync');

const db = whole(0, 0x7fff_ffff);

/** Stream state at an offset. */
export const streamState: Shape<StreamState> = fields<StreamState>({
  db,
  inMulti: flag,
  partialBytes: whole(),
});

/** Reference to a sealed object. */
export const objectRef: Shape<ObjectRef> = fields<ObjectRef>({
  key: nullable(text(512, /^v1\/[a-z0-9][a-z0-9._/-]*$/)),
  size: whole(),
  digest,
  dekId: keyId,
  kind: whole(1, 255),
});

/** Position of the AOF tail. File names come from the server: any text without control characters. */
export const tailCursor: Shape<TailCursorJson> = fields<TailCursorJson>({
  file: text(1024),
  seq: whole(),
  dev: text(20, /^\d+$/),
  ino: text(20, /^\d+$/),
  position: whole(),
  digest: text(64, /^([0-9a-f]{64})?$/),
  digestBytes: whole(0, 65_536),
});

/** Facts about the node that stand in `TimelineOpened`. */
export const nodeIdentity = fields<{ runId: string; version: string; product: string }>({
  runId: text(128),
  version: text(128),
  product: text(128),
});

const clockStepShapes: FieldShapes<ClockStep> = {
  direction: oneOf('back', 'forward'),
  before: offset,
  offset,
  untilMs: ms,
  fromMs: ms,
  toMs: ms,
  sinceMs: ms,
  provenTo: nullable(second),
};

/** A step of the server's clock, as the fold keeps it. */
export const clockStep: Shape<ClockStep> = fields<ClockStep>(clockStepShapes);

const headerShapes: FieldShapes<Omit<SegmentHeader, 'level'>> = {
  timeline: id,
  start: offset,
  end: offset,
  db,
  maxDb: db,
  inMulti: flag,
  partialBytes: whole(),
  commands: whole(),
  rawBytes: whole(),
  firstSecond: nullable(second),
  lastSecond: nullable(second),
  frames: whole(),
  indexKind: oneOf('keys', 'filter', 'none'),
};

/** What the log says of a captured segment. */
export const segmentHeader: Shape<SegmentHeader> = fields(headerShapes);

/** What the log says of a merged segment. */
export const mergedHeader: Shape<MergedHeader> = fields<MergedHeader>({
  ...headerShapes,
  level: whole(1, 255),
});

/** Auxiliary fields that say something about the server and hold no data of the user. */
export const AUX_NAMES: readonly string[] = [
  'aof-base',
  'aof-preamble',
  'ctime',
  'redis-bits',
  'redis-ver',
  'repl-id',
  'repl-offset',
  'repl-stream-db',
  'used-mem',
  'valkey-ver',
];

/** Counts of a snapshot. */
export const rdbSummary: Shape<RdbSummaryJson> = fields<RdbSummaryJson>({
  product: oneOf('redis', 'valkey'),
  version: whole(),
  bytes: whole(),
  keys: whole(),
  expires: whole(),
  maxDb: whole(-1),
  databases: listOf(fields({ db, keys: whole(), expires: whole() }), 1024),
  types: mapOf(/^(0|[1-9]\d{0,2})$/, whole(), 256),
  minVersion: whole(),
  functions: whole(),
  modules: listOf(text(64), 256),
  aux: mapOf(new RegExp(`^(${AUX_NAMES.join('|')})$`), text(256), AUX_NAMES.length),
  fieldTtl: flag,
  largestEntryBytes: whole(),
  checksum: oneOf('verified', 'absent'),
});

/** Numbers of the entries of captured segments. */
export const capturedEntries: Shape<CapturedEntries> = fields<CapturedEntries>({
  first: whole(),
  last: whole(),
});

/** What is said of a snapshot besides its object. */
export const snapshotFacts: FieldShapes<Omit<SnapshotStored, 'type' | 'object'>> = {
  backup: id,
  timeline: id,
  offset,
  from: second,
  mode: oneOf('attach', 'automated', 'manual'),
  startedMs: ms,
  endedMs: ms,
  summary: rdbSummary,
  rdbBytes: whole(),
};

/** Every event of a writer log as it stands in the header of its entry. */
export const writerEventShape: Shape<WriterEvent> = unionOf<WriterEvent>({
  OwnerClaimed: { generation: whole(1), ownerId: id, atMs: ms, tookOver: flag },
  TimelineOpened: {
    timeline: id,
    source: captureSource,
    reason: openReason,
    previous: nullable(id),
    atMs: ms,
    node: nodeIdentity,
  },
  SegmentStored: {
    segment: segmentHeader,
    after: streamState,
    object: objectRef,
    provenTo: nullable(second),
    cursor: nullable(tailCursor),
    atMs: ms,
  },
  SegmentsMerged: {
    segment: mergedHeader,
    stretch: whole(),
    count: whole(1),
    captured: capturedEntries,
    object: objectRef,
    provenTo: nullable(second),
    throughMs: ms,
    atMs: ms,
  },
  SnapshotStored: { ...snapshotFacts, object: objectRef },
  Heartbeat: { timeline: nullable(id), offset, provenTo: nullable(second), atMs: ms },
  TimelineClosed: {
    timeline: id,
    offset,
    reason: holeReason,
    provenTo: nullable(second),
    detail: line,
    atMs: ms,
  },
  ClockStepped: { timeline: id, ...clockStepShapes, atMs: ms },
  NodeFactsStored: { object: objectRef, atMs: ms },
  HoleProven: { closed: id, opened: id, atMs: ms },
  Released: { generation: whole(1), atMs: ms },
});

/**
 * The event as it may stand in a clear header: auxiliary fields of a snapshot that are not on the
 * closed list are left out (a server before 7.0 writes scripts into them), long values are cut.
 */
export function withoutDatasetBytes(event: WriterEvent): WriterEvent {
  if (event.type !== 'SnapshotStored') return event;
  const aux = Object.fromEntries(
    AUX_NAMES.flatMap((name) => {
      const value = event.summary.aux[name];
      if (value === undefined) return [];
      return [[name, value.slice(0, 256).replace(/[\p{Cc}\p{Surrogate}]/gu, '?')]];
    }),
  );
  return { ...event, summary: { ...event.summary, aux } };
}
