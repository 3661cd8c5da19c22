export {
  admitCertificate,
  createToken,
  type MadeToken,
  type TokenRights,
} from './api/make-token.ts';
export { listTokens, revokeToken } from './api/tokens-file.ts';
export type { Credential } from './api/tokens-text.ts';
export { Audit, type AuditEntry, type AuditNote, type AuditQuestion } from './audit/audit.ts';
export { openControl, type Control, type ControlOptions, type ControlRoles } from './control.ts';
export type {
  Actor,
  Job,
  JobContext,
  JobDesk,
  JobEvent,
  JobHandler,
  JobKind,
  JobLine,
  JobOrder,
  JobOutcome,
  JobProblem,
  JobProgress,
  JobQuestion,
  JobState,
  Json,
} from './jobs/job.ts';
export { listParked } from './fleet/list-parked.ts';
export {
  backupDocuments,
  findBackupDocuments,
  type BackupDocument,
  type ListedBackup,
} from './queries/backups.ts';
export { checkLabels, labelBackup, type LabelChange } from './queries/backup-labels.ts';
export { deleteBackup, type DeletedBackup } from './queries/delete-backup.ts';
export { undeleteBackup, type UndeletedBackup } from './queries/undelete-backup.ts';
export { holdBackup } from './queries/hold-backup.ts';
export { CatalogKeeper } from './queries/catalog-keeper.ts';
export { attempt, nodeFindings, type Finding } from './queries/check-node.ts';
export { factsDocument, printableText } from './queries/facts.ts';
export { configuredEntry, instanceRows, nodeDocument } from './queries/instances.ts';
export { keyEventDocument, placeDocument } from './queries/key-events.ts';
export { knownInstance } from './queries/known-instance.ts';
export { adminOfKey, openTdeInstance, type TdeInstance } from './queries/open-tde.ts';
export { askStatus, statusDocument, type StatusDocument } from './queries/status.ts';
export { TDE_ALGORITHM, tdeDocument } from './queries/tde.ts';
export {
  authorizationDocument,
  keyDocuments,
  oneKeyDocument,
  type KeyDocument,
} from './queries/tde-keys.ts';
export type { TimelineDocument } from './queries/timelines.ts';
export { bucketDocuments, stepOf, type BucketDocument } from './queries/window-buckets.ts';
export { meeting, shardWindows, windowsDocument, type ShardWindows } from './queries/windows.ts';
export { askForKeyBackup, enableInstanceTde } from './tde/enable-instance.ts';
export { serveApi, type ServeApiOptions } from './serve-api.ts';
export type {
  PlannedRun,
  PolicyDesk,
  PolicyRun,
  PolicyRunState,
  PolicyView,
  SetPolicyOptions,
} from './policy/policy.ts';
export { jobDocument, lineDocument } from './api/routes/job-document.ts';
export { openJobDesk, type OpenedDesk } from './jobs/open-desk.ts';
export {
  addNode,
  attachNode,
  type AddedNode,
  type AddParts,
  type NewInstance,
} from './instances/add-instance.ts';
export { configuredNodes } from './instances/configured-nodes.ts';
export { serveWorker } from './serve-worker.ts';
export { RecycleBin, type RecycledInstance } from './recycle/recycle-bin.ts';
export { releaseInstance } from './recycle/release-instance.ts';
export type { Provisioners } from './provision/provisioners.ts';
export { endHostServer, hostServer } from './provision/end-host-server.ts';
export { hostServers, type HostServer } from './provision/host-servers.ts';
export { localServers } from './provision/local-folder.ts';
export { serverDocument } from './api/routes/servers.ts';
export type { CloneReport } from './clone/clone-handler.ts';
export type { ClearReport } from './data/clear-data.ts';
export type { PurgeReport } from './data/purge-expired.ts';
export { policyDocument, type PolicyDocument } from './api/routes/policy-document.ts';
export { refuseRewrapFaults, rewrapInstance } from './tde/rewrap-instance.ts';
export { downloadLinks } from './queries/download-links.ts';
export { refuseConfiguredNode } from './provision/configured-nodes.ts';
