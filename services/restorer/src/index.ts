export type { FactsReport } from './facts/facts-report.ts';
export { openFacts as readFactsAt } from './facts/open-facts.ts';
export { processFeeder, type ProcessFeederOptions } from './feeder/process/process-feeder.ts';
export type { Difference } from './compare/compare-datasets.ts';
export { openHoles, proveHole, type HoleProof } from './prove/prove-holes.ts';
export type { WantedPoint } from './plan/make-plan.ts';
export type { Vanishing } from './feed/vanish-forecast.ts';
export { REBASE_MS_MAX, SHIFT_MS_MAX, type TtlChoice } from './plan/ttl-rule.ts';
export type {
  RestoreEnvironment,
  RestoreProgress,
  RestoreRequest,
  RestoreTarget,
} from './run/environment.ts';
export { abortRestore, resumeRestore, type ReadPassword } from './run/go-on.ts';
export { endLeftServer } from './run/left-server.ts';
export { SERVER_NOTE } from './run/open-target.ts';
export { dryRun, restore } from './run/restore.ts';
export { forgetRestore, restoreState } from './run/restore-record.ts';
export type { RestoreReport } from './run/restore-report.ts';
export type { SkippedKey, SkipReport } from './run/skip-report.ts';
export type { SelectionReport } from './run/selection-report.ts';
export { isInStore } from './verify/repo-inventory.ts';
export { partsOf, type Sample } from './verify/sample.ts';
export {
  verifyBackups,
  verifyRepo,
  type RepoFault,
  type RepoVerification,
  type VerifyBackupRequest,
  type VerifyRepoOptions,
} from './verify/verify-repo.ts';
export { findCommands, type CommandSearch } from './find/find-commands.ts';
export type {
  FoundCommand,
  FoundPlace,
  SearchTotals,
  SecondWindow,
  TimeBounds,
} from './find/found-command.ts';
export type { KeyEvent } from './find/key-event.ts';
export { keyHistory } from './find/key-history.ts';
export { noteOnName } from './find/logged-names.ts';
export { diffPoints, type DiffReport, type DiffRequest } from './preview/diff-points.ts';
export type { SampleKey, SampleState } from './preview/key-sample.ts';
export type { OutcomeCounts } from './preview/outcome-tally.ts';
export { preview, type PreviewReport, type SparedServer } from './preview/preview.ts';
export { parseRateLimit } from './write-back/throttle/rate-limit.ts';
export {
  findUndoPack,
  undoRestore,
  type UndoOutcome,
  type UndoReport,
  type UndoRequest,
} from './write-back/undo/undo-restore.ts';
export { expireUndoPacks } from './write-back/undo/expire-undo-packs.ts';
export { listUndoPacks, type UndoPackFacts } from './write-back/undo/undo-objects.ts';
export {
  restoreToOriginal,
  resumeWriteBack,
  type WriteBackRequest,
} from './write-back/restore-original.ts';
export type { WriteBackOutcome, WriteBackReport } from './write-back/write-back-report.ts';
export type { MissingKeys } from './write-back/key-difference.ts';
export type { ConflictPolicy } from './write-back/write/write-task.ts';
export {
  downloadBackup,
  findBackup,
  type DownloadEnvironment,
  type DownloadedFile,
  type DownloadForm,
  type DownloadRequest,
  type KnownBackup,
} from './download/download-backup.ts';
export {
  dumpNode,
  type DumpedFile,
  type DumpEnvironment,
  type DumpRequest,
} from './dump/dump-node.ts';
export {
  historiesIn,
  refuseSecondCapture,
  refuseTdeNode,
  type ConfiguredNode,
} from './dump/refuse-tde-node.ts';
export { type NodePlace, type TargetNode } from './tde/original-node.ts';
export { relationToNode, type NodeRelation } from './target/related-node.ts';
export {
  rewrapKeys,
  type RewrapFault,
  type RewrapOptions,
  type RewrapReport,
} from './rewrap/rewrap-keys.ts';
export { refuseCaptured } from './shred/may-shred.ts';
export { shredKeys, type ShredOptions, type ShredReport } from './shred/shred-keys.ts';
