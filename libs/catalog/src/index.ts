export type {
  CapturedEntries,
  ClockStepped,
  Heartbeat,
  HoleProven,
  MergedHeader,
  NodeFactsStored,
  ObjectRef,
  OwnerClaimed,
  RdbSummaryJson,
  Released,
  SegmentsMerged,
  SegmentStored,
  SnapshotStored,
  StreamState,
  TailCursorJson,
  TimelineClosed,
  TimelineOpened,
  WriterEvent,
  WriterEventType,
} from './model/events.ts';
export type {
  BackupPolicy,
  InstanceCreated,
  InstanceEvent,
  InstanceEventType,
  InstanceRemoved,
  KeyAdopted,
  StoreFacts,
  StoreProbed,
  KeyShredded,
  LeaseReleased,
  LeaseRenewed,
  LeaseTaken,
  OriginalRestoreSet,
  PolicySet,
  TdeEnabled,
  TdeKeyChanged,
  TdeLatched,
  TdeRequested,
  WriterRegistered,
  WriterRetired,
} from './model/instance-events.ts';
export { isForgotten, jobRefusal, type JobEnded, type OpenJob } from './model/instance-jobs.ts';
export {
  EMPTY_WRITER_STATE,
  logBytesSinceSnapshot,
  stretchOf,
  type SnapshotMark,
  type TimelineState,
  type WriterOwner,
  type WriterState,
} from './model/writer-state.ts';
export { decide, eventMs, evolve } from './model/writer-fold.ts';
export {
  decideClaim,
  HEARTBEAT_MS,
  OWNER_HEARTBEATS,
  type ClaimRequest,
} from './model/writer-claim.ts';
export {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  SHREDDED_PER_ENTRY_MAX,
  type InstanceKey,
  type InstanceState,
  type InstanceWriter,
  KEEP_LAST_MAX,
  type Lease,
  type PolicyAuthor,
  type ShreddedKeys,
  type TdeState,
} from './model/instance-state.ts';
export {
  BODY_BYTES_MAX,
  decodeLogEntry,
  decodeWriterEvent,
  encodeLogEntry,
  encodeWriterEvent,
  type EntryContent,
  type EntryExpectation,
  type LogEntry,
  type LogPosition,
  type WriterLogId,
} from './log/entry-codec.ts';
export {
  CHECKPOINT_EVERY,
  KEPT_ROWS_MAX,
  NO_ROWS,
  keepRows,
  type KeptFacts,
  type KeptRows,
  type KeptSegment,
  type KeptSnapshot,
} from './model/kept-rows.ts';
export { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from './log/checkpoint-codec.ts';
export {
  decodeInstanceEntry,
  type InstanceLogEntry,
  type InstanceRecord,
} from './log/instance-codec.ts';
export { readInstanceHeads, readWriterHeads, type WithHead } from './log/log-heads.ts';
export type { EndCheck } from './log/forward-reader.ts';
export type { RetryLimits } from './log/retry.ts';
export {
  checkpointChain,
  findLogStart,
  listCheckpoints,
  newestWholeFold,
  wholeFoldAt,
  readCheckpoint,
  readWriterLog,
  type LogStart,
  type WholeFold,
  type WriterLogSource,
} from './log/writer-log-reader.ts';
export {
  openWriterLog,
  WriterLog,
  type ClaimOptions,
  type WriterLogOptions,
} from './log/writer-log.ts';
export {
  beginInstanceLog,
  createInstance,
  InstanceLog,
  openInstanceLog,
  type InstanceLogOptions,
} from './log/instance-log.ts';
export {
  hasInstance,
  listInstanceIds,
  instanceDigestAt,
  readInstanceLog,
  readInstanceRecord,
  type InstanceLogSource,
} from './log/instance-log-reader.ts';
export {
  lostInstanceTail,
  readInstanceCheckpoint,
  readInstanceState,
} from './log/instance-fold.ts';
export { reopenInstanceLog } from './log/reopen-instance-log.ts';
export {
  instanceKeysOf,
  readTde,
  readTdeMarker,
  type Tde,
  type TdeSource,
  type TdeWitness,
} from './tde/read-tde.ts';
export { dropTdeLatch, holdTdeLatch, type LatchPorts } from './tde/hold-latch.ts';
export { enableTde, type EnableTdePorts, type EnableTdeRequest } from './tde/enable-tde.ts';
export { refuseForTde, type TdeOperation } from './tde/refuse-for-tde.ts';
export { latchFilePath } from './tde/latch-file.ts';
export {
  Catalog,
  openCatalog,
  type CatalogWriter,
  type TombstoneQuestion,
} from './projection/catalog.ts';
export type {
  CatalogFacts,
  CatalogSegment,
  CatalogSnapshot,
  CatalogTimeline,
  StoredObject,
} from './projection/rows.ts';
export type { BackupPageQuestion, PagedSnapshot } from './projection/queries.ts';
export type { SyncOptions } from './projection/sync.ts';
export {
  TOMBSTONE_BACKUPS_MAX,
  TOMBSTONE_WRITERS_MAX,
  type LogCut,
  type Tombstone,
  type UnnamedObjects,
} from './model/instance-expiry.ts';
export { HeldLease, takeLease, type LeaseRequest } from './log/held-lease.ts';
export { findLogCut, type FoundLogCut } from './log/find-log-cut.ts';
export type { MarkedObject, RetentionQueries } from './projection/retention-queries.ts';
export { withFloors, type RetentionFloor, type RetentionShard } from './retention/history.ts';
export { neededFacts } from './retention/log-cut.ts';
export {
  isLive,
  planRetention,
  SHARE_MAX,
  type Amount,
  type RetentionPlan,
  type RetentionStep,
} from './retention/plan-retention.ts';
export { withoutShredded } from './projection/without-shredded.ts';
export { isHeldBy } from './model/kept-rows.ts';
export {
  POLICY_DAYS,
  policyFaults,
  wholePolicy,
  type PolicyFault,
} from './policy/policy-faults.ts';
export {
  deletedBackups,
  FORGOTTEN_PER_ENTRY_MAX,
  holdOf,
  LABEL_KEY_MAX,
  LABEL_VALUE_MAX,
  LABELS_MAX,
  noteOf,
  type BackupLabel,
  type BackupNote,
} from './model/instance-backups.ts';
export { packsBeingUndone } from './retention/undo-lease.ts';
export { isFree } from './retention/recheck.ts';
export type { RecycleState, ReleasedNode } from './model/instance-recycle.ts';
