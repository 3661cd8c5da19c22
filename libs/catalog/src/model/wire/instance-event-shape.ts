import type { BackupPolicy, InstanceEvent, StoreFacts } from '../instance-events.ts';
import type { LogCut, UnnamedObjects } from '../instance-expiry.ts';
import type { OpenJob } from '../instance-jobs.ts';
import { TOMBSTONE_BACKUPS_MAX, TOMBSTONE_WRITERS_MAX } from '../instance-expiry.ts';
import { KEEP_LAST_MAX, SHREDDED_PER_ENTRY_MAX, STORE_WARNINGS_MAX } from '../instance-state.ts';
import type { RetentionFloor } from '../../retention/history.ts';
import { digest, id, keyId, line, ms, safeId, second } from './common.ts';
import {
  fields,
  flag,
  listOf,
  nullable,
  offset,
  oneOf,
  optional,
  text,
  unionOf,
  whole,
  type FieldShapes,
  type Shape,
} from './shape.ts';
import { backupEventShapes } from './backup-shape.ts';
import { recycleEventShapes } from './recycle-shape.ts';
import { captureSource } from './writer-event-shape.ts';

/** A name that the owner of an instance gave it; never part of an object key. */
export const instanceName: Shape<string> = text(128, /^[^\p{Cc}\p{Surrogate}]+$/u);

const CLOCK_TIME = '([01]\\d|2[0-3]):[0-5]\\d';

/**
 * A backup policy. Whether a zone is known is asked where the policy is set and used: what another
 * host wrote stays readable here.
 */
export const backupPolicy: Shape<BackupPolicy> = fields<BackupPolicy>({
  days: listOf(oneOf('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'), 7),
  hours: listOf(text(13, new RegExp(`^${CLOCK_TIME}(Z-${CLOCK_TIME}Z)?$`)), 24),
  retainSeconds: whole(1),
  timeZone: optional(text(64, /^[A-Za-z][A-Za-z0-9_+\-/]*$/)),
  keepLast: optional(whole(1, KEEP_LAST_MAX)),
  flashback: optional(flag),
});

/** Who asked for something: the name of an actor. */
export const actorName: Shape<string> = text(64, /^[A-Za-z0-9._@-]+$/);

/** Id of a key that wraps data keys: of a ring, or a key ARN. */
export const wrappingKeyId: Shape<string> = text(2048);

/** Where the kept history of a writer begins. */
export const retentionFloor: Shape<RetentionFloor> = fields<RetentionFloor>({
  writer: safeId,
  timeline: id,
  offset,
});

/** Entries of a writer log that go. */
export const logCuts: Shape<readonly LogCut[]> = listOf(
  fields<LogCut>({ writer: safeId, seq: whole() }),
  TOMBSTONE_WRITERS_MAX,
);

/** Objects that no log names. */
export const unnamedObjects: Shape<UnnamedObjects> = fields<UnnamedObjects>({
  objects: whole(),
  bytes: whole(),
  digest,
});

/** What a store was found to do. */
export const storeFacts: FieldShapes<StoreFacts> = {
  url: text(2048),
  conditionalCreate: flag,
  multipartConditional: oneOf('holds', 'sequential', 'none', 'unused'),
  ranges: flag,
  listingOrdered: flag,
  objectLock: nullable(flag),
  versioning: nullable(flag),
  warnings: listOf(line, STORE_WARNINGS_MAX),
};

/** Name of a process that works off jobs. */
export const workerName: Shape<string> = text(128, /^[A-Za-z0-9._:@-]+$/);

/** A claim of a job, as its event and the fold hold it. */
export const jobClaim: FieldShapes<OpenJob> = {
  job: id,
  kind: id,
  by: actorName,
  worker: workerName,
  attempt: whole(1),
  untilMs: ms,
  atMs: ms,
};

/** Every event of an instance log as it stands in the header of its entry. */
export const instanceEventShape: Shape<InstanceEvent> = unionOf<InstanceEvent>({
  InstanceCreated: { iid: safeId, name: instanceName, atMs: ms },
  WriterRegistered: { shard: safeId, writer: safeId, source: captureSource, atMs: ms },
  WriterRetired: { writer: safeId, atMs: ms },
  PolicySet: { policy: backupPolicy, by: optional(actorName), atMs: ms },
  KeyAdopted: { provider: id, keyId: wrappingKeyId, atMs: ms },
  TdeRequested: { provider: id, keyId: wrappingKeyId, auto: flag, atMs: ms },
  TdeLatched: { provider: id, keyId: wrappingKeyId, atMs: ms },
  TdeEnabled: { backup: id, atMs: ms },
  TdeKeyChanged: { provider: id, keyId: wrappingKeyId, auto: flag, atMs: ms },
  KeyShredded: {
    scope: oneOf('snapshot', 'instance'),
    dekIds: nullable(listOf(keyId, SHREDDED_PER_ENTRY_MAX)),
    atMs: ms,
  },
  StoreProbed: { ...storeFacts, atMs: ms },
  OriginalRestoreSet: { allowed: flag, atMs: ms },
  LeaseTaken: {
    lease: id,
    purpose: oneOf('restore', 'backup', 'hold'),
    fromSecond: second,
    untilMs: ms,
    atMs: ms,
  },
  LeaseReleased: { lease: id, atMs: ms },
  LeaseRenewed: { lease: id, untilMs: ms, atMs: ms },
  ExpiryTombstoned: {
    tombstone: id,
    floors: listOf(retentionFloor, TOMBSTONE_WRITERS_MAX),
    cuts: logCuts,
    unnamed: nullable(unnamedObjects),
    backups: optional(listOf(id, TOMBSTONE_BACKUPS_MAX)),
    retainSeconds: whole(1),
    forced: flag,
    objects: whole(),
    bytes: whole(),
    dueMs: ms,
    atMs: ms,
  },
  ExpiryRevoked: { tombstone: id, atMs: ms },
  ExpiryBegun: { tombstone: id, atMs: ms },
  ExpiryDone: { tombstone: id, atMs: ms },
  JobClaimed: jobClaim,
  JobRenewed: { job: id, worker: workerName, untilMs: ms },
  JobEnded: {
    job: id,
    worker: workerName,
    outcome: oneOf('succeeded', 'partial', 'failed', 'cancelled', 'waiting'),
    atMs: ms,
  },
  ...recycleEventShapes,
  ...backupEventShapes,
  InstanceRemoved: { atMs: ms },
});
