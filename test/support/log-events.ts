import type { SegmentHeader } from '@tidemark/archive';
import type {
  ClockStepped,
  Heartbeat,
  HoleProven,
  NodeFactsStored,
  ObjectRef,
  OwnerClaimed,
  RdbSummaryJson,
  Released,
  SegmentsMerged,
  SegmentStored,
  SnapshotStored,
  TimelineClosed,
  TimelineOpened,
} from '@tidemark/catalog';
import type { LogKey } from '@tidemark/crypto';

/** A log key for tests. */
export const LOG_KEY: LogKey = { id: '0123456789abcdef'.repeat(2), key: Buffer.alloc(32, 7) };

/** Another one. */
export const OTHER_LOG_KEY: LogKey = { id: 'fedcba98'.repeat(4), key: Buffer.alloc(32, 9) };

/** The writer log of most tests. */
export const LOG = { iid: 'inst', shard: 's0', writer: 'w1' } as const;

/** Time of the first event of most tests. */
export const START_MS = 1_795_000_000_000;

/** A summary of an RDB of few keys. */
export const SUMMARY: RdbSummaryJson = {
  product: 'redis',
  version: 10,
  bytes: 1000,
  keys: 12,
  expires: 3,
  maxDb: 1,
  databases: [
    { db: 0, keys: 10, expires: 3 },
    { db: 1, keys: 2, expires: 0 },
  ],
  types: { '0': 8, '14': 4 },
  minVersion: 10,
  functions: 0,
  modules: [],
  aux: { 'redis-ver': '7.0.15', 'redis-bits': '64' },
  fieldTtl: false,
  largestEntryBytes: 90,
  checksum: 'verified',
};

export const objectRef = (over: Partial<ObjectRef> = {}): ObjectRef => ({
  key: 'v1/instance/inst/s0/w1/seg/t1/object',
  size: 500,
  digest: 'ab'.repeat(32),
  dekId: 'cd'.repeat(16),
  kind: 2,
  ...over,
});

export const claimed = (over: Partial<OwnerClaimed> = {}): OwnerClaimed => ({
  type: 'OwnerClaimed',
  generation: 1,
  ownerId: 'spool-a',
  atMs: START_MS,
  tookOver: false,
  ...over,
});

export const opened = (over: Partial<TimelineOpened> = {}): TimelineOpened => ({
  type: 'TimelineOpened',
  timeline: 't1',
  source: 'aof',
  reason: 'attach',
  previous: null,
  atMs: START_MS + 1,
  node: { runId: 'a'.repeat(40), version: '7.0.15', product: 'redis' },
  ...over,
});

/** A segment of `[start, end)`; seconds and other header fields by `over`. */
export const stored = (
  start: bigint,
  end: bigint,
  over: Partial<Omit<SegmentStored, 'segment'>> & { segment?: Partial<SegmentHeader> } = {},
): SegmentStored => ({
  type: 'SegmentStored',
  after: { db: 0, inMulti: false, partialBytes: 0 },
  object: objectRef(),
  provenTo: null,
  cursor: null,
  atMs: START_MS + 2,
  ...over,
  segment: {
    timeline: 't1',
    start,
    end,
    db: 0,
    maxDb: 0,
    inMulti: false,
    partialBytes: 0,
    commands: 3,
    rawBytes: Number(end - start),
    firstSecond: null,
    lastSecond: null,
    frames: 1,
    indexKind: 'keys',
    ...over.segment,
  },
});

/** A merged segment of level 1 in place of three others. */
export const merged = (
  start: bigint,
  end: bigint,
  over: Partial<Omit<SegmentsMerged, 'segment'>> & {
    segment?: Partial<SegmentsMerged['segment']>;
  } = {},
): SegmentsMerged => ({
  type: 'SegmentsMerged',
  stretch: 0,
  count: 3,
  captured: { first: 2, last: 4 },
  object: objectRef({ key: 'v1/instance/inst/s0/w1/seg/t1/merged', kind: 3 }),
  provenTo: null,
  throughMs: START_MS + 2,
  atMs: START_MS + 4,
  ...over,
  segment: { ...stored(start, end).segment, level: 1, ...over.segment },
});

export const snapshot = (offset: bigint, over: Partial<SnapshotStored> = {}): SnapshotStored => ({
  type: 'SnapshotStored',
  backup: 'bk_1',
  timeline: 't1',
  offset,
  from: 1_795_000_000,
  mode: 'attach',
  startedMs: START_MS,
  endedMs: START_MS + 3,
  summary: SUMMARY,
  rdbBytes: 1000,
  object: objectRef({ key: 'v1/instance/inst/s0/w1/rdb/bk_1', kind: 4 }),
  ...over,
});

export const heartbeat = (offset: bigint, over: Partial<Heartbeat> = {}): Heartbeat => ({
  type: 'Heartbeat',
  timeline: 't1',
  offset,
  provenTo: null,
  atMs: START_MS + 4,
  ...over,
});

export const closed = (offset: bigint, over: Partial<TimelineClosed> = {}): TimelineClosed => ({
  type: 'TimelineClosed',
  timeline: 't1',
  offset,
  reason: 'capture-down',
  provenTo: null,
  detail: 'the archiver was away',
  atMs: START_MS + 5,
  ...over,
});

/** A step back of an hour; nothing ran between the bounds of it unless `over` says so. */
export const stepped = (offset: bigint, over: Partial<ClockStepped> = {}): ClockStepped => ({
  type: 'ClockStepped',
  timeline: 't1',
  direction: 'back',
  before: offset,
  offset,
  untilMs: START_MS + 3_599_900,
  fromMs: START_MS + 3_600_000,
  toMs: START_MS,
  sinceMs: START_MS + 100,
  provenTo: null,
  atMs: START_MS + 5,
  ...over,
});

export const nodeFacts = (over: Partial<NodeFactsStored> = {}): NodeFactsStored => ({
  type: 'NodeFactsStored',
  object: objectRef({ kind: 9 }),
  atMs: START_MS + 6,
  ...over,
});

export const proven = (over: Partial<HoleProven> = {}): HoleProven => ({
  type: 'HoleProven',
  closed: 't1',
  opened: 't2',
  atMs: START_MS + 6,
  ...over,
});

export const released = (generation = 1, atMs = START_MS + 7): Released => ({
  type: 'Released',
  generation,
  atMs,
});
