import type { InstanceState, InstanceWriter, Lease, TdeState } from '../instance-state.ts';
import { STEPS_KEPT } from '../writer-state.ts';
import { LEASES_MAX, WRITERS_MAX } from '../instance-state.ts';
import type { SnapshotMark, TimelineState, WriterOwner, WriterState } from '../writer-state.ts';
import { digest, id, line, ms, safeId, second } from './common.ts';
import { backupPolicy, instanceName } from './instance-event-shape.ts';
import { fields, flag, listOf, nullable, offset, oneOf, text, whole, type Shape } from './shape.ts';
import {
  captureSource,
  clockStep,
  holeReason,
  nodeIdentity,
  openReason,
  streamState,
  tailCursor,
} from './writer-event-shape.ts';

const owner = fields<WriterOwner>({
  generation: whole(1),
  ownerId: id,
  atMs: ms,
  tookOver: flag,
  released: flag,
});

const snapshotMark = fields<SnapshotMark>({
  backup: id,
  offset,
  rdbBytes: whole(),
  endedMs: ms,
});

const timelineState = fields<TimelineState>({
  timeline: id,
  source: captureSource,
  reason: openReason,
  previous: nullable(id),
  openedMs: ms,
  node: nodeIdentity,
  closed: nullable(fields({ reason: holeReason, atMs: ms, detail: line })),
  end: offset,
  after: streamState,
  provenTo: nullable(second),
  from: nullable(second),
  fromOffset: nullable(offset),
  steps: listOf(clockStep, STEPS_KEPT),
  forgottenStepsBack: whole(),
  cursor: nullable(tailCursor),
  snapshot: nullable(snapshotMark),
});

/** The fold of a writer log, as checkpoints and the projection hold it. */
export const writerStateShape: Shape<WriterState> = fields<WriterState>({
  seq: whole(-1),
  digest,
  lastEntryMs: nullable(ms),
  owner: nullable(owner),
  timeline: nullable(timelineState),
});

/** The fold of an instance log, as the projection holds it. */
export const instanceStateShape: Shape<InstanceState> = fields<InstanceState>({
  seq: whole(-1),
  digest,
  iid: nullable(safeId),
  name: nullable(instanceName),
  createdMs: nullable(ms),
  removedMs: nullable(ms),
  policy: nullable(backupPolicy),
  tde: nullable(fields<TdeState>({ provider: id, keyId: text(2048), sinceMs: ms })),
  originalRestore: flag,
  writers: listOf(
    fields<InstanceWriter>({
      shard: safeId,
      writer: safeId,
      source: captureSource,
      retiredMs: nullable(ms),
    }),
    WRITERS_MAX,
  ),
  leases: listOf(
    fields<Lease>({
      lease: id,
      purpose: oneOf('restore', 'backup', 'hold'),
      fromSecond: second,
      untilMs: ms,
    }),
    LEASES_MAX,
  ),
});
