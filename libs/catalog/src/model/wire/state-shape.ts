import type {
  InstanceKey,
  InstanceState,
  InstanceWriter,
  Lease,
  PolicyAuthor,
  ShreddedKeys,
  TdeState,
} from '../instance-state.ts';
import { STEPS_KEPT } from '../writer-state.ts';
import { INSTANCE_KEYS_MAX, SHREDDED_MAX } from '../instance-keys.ts';
import { LEASES_MAX, WRITERS_MAX } from '../instance-state.ts';
import type { StoreFacts } from '../instance-events.ts';
import type { SnapshotMark, TimelineState, WriterOwner, WriterState } from '../writer-state.ts';
import { digest, id, keyId, line, ms, safeId, second } from './common.ts';
import { BACKUP_NOTES_MAX } from '../instance-backups.ts';
import { TOMBSTONE_BACKUPS_MAX, type ExpiryState, type Tombstone } from '../instance-expiry.ts';
import {
  ENDED_JOBS_MAX,
  OPEN_JOBS_MAX,
  type EndedJob,
  type JobsState,
  type OpenJob,
} from '../instance-jobs.ts';
import {
  actorName,
  backupPolicy,
  instanceName,
  jobClaim,
  logCuts,
  retentionFloor,
  storeFacts,
  unnamedObjects,
  wrappingKeyId,
} from './instance-event-shape.ts';
import { backupNotes } from './backup-shape.ts';
import { recycleState } from './recycle-shape.ts';
import { fields, flag, listOf, nullable, offset, oneOf, whole, type Shape } from './shape.ts';
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

/** A timeline, as folds and checkpoints hold it. */
export const timelineState: Shape<TimelineState> = fields<TimelineState>({
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
  policySet: nullable(fields<PolicyAuthor>({ seq: whole(), by: nullable(actorName), atMs: ms })),
  keys: listOf(fields<InstanceKey>({ provider: id, keyId: wrappingKeyId }), INSTANCE_KEYS_MAX),
  tde: nullable(
    fields<TdeState>({
      provider: id,
      keyId: wrappingKeyId,
      auto: flag,
      sinceMs: ms,
      latchedMs: nullable(ms),
      enabledMs: nullable(ms),
      backup: nullable(id),
    }),
  ),
  shredded: fields<ShreddedKeys>({
    instanceMs: nullable(ms),
    dekIds: listOf(keyId, SHREDDED_MAX),
  }),
  store: nullable(fields<StoreFacts>(storeFacts)),
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
  expiry: fields<ExpiryState>({
    floors: listOf(retentionFloor, WRITERS_MAX),
    dropped: listOf(id, BACKUP_NOTES_MAX),
    tombstone: nullable(
      fields<Tombstone>({
        tombstone: id,
        before: listOf(retentionFloor, WRITERS_MAX),
        cuts: logCuts,
        unnamed: nullable(unnamedObjects),
        backups: listOf(id, TOMBSTONE_BACKUPS_MAX),
        objects: whole(),
        bytes: whole(),
        dueMs: ms,
        atMs: ms,
        begun: flag,
      }),
    ),
  }),
  recycle: nullable(recycleState),
  jobs: fields<JobsState>({
    open: listOf(fields<OpenJob>(jobClaim), OPEN_JOBS_MAX),
    ended: listOf(fields<EndedJob>({ job: id, attempt: whole(1), atMs: ms }), ENDED_JOBS_MAX),
    forgotten: nullable(id),
  }),
  backups: backupNotes,
});
