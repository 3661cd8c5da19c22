export { detachOffline } from './close-log.ts';
export { releasePins } from './release-pins.ts';
export { controlSocketPath } from './archiver.ts';
export type { CaptureLimits } from './capture/capture-options.ts';
export type { CaptureStatus } from './capture/capture-status.ts';
export { putSpooled, readSpooled } from './ship/put-spooled.ts';
export { fileBytes } from './ship/file-bytes.ts';
export { encodeSpoolNote } from './ship/spool-note.ts';
export { Spool } from './ship/spool.ts';
export type { RequestRate } from './ship/request-meter.ts';
export { callArchiver, type CallOptions } from './control/control-client.ts';
export type { FleetReport } from './fleet/fleet-captures.ts';
export { GONE_FAMILIES, goneSamples } from './fleet/gone-samples.ts';
export { HostWatch, type GoneHost, type HostWatchOptions } from './fleet/host-watch.ts';
export { ownerOf } from './fleet/log-owner.ts';
export type { Logger } from './logger.ts';
export {
  openMetricRegistry,
  type DurationMetric,
  type Exposition,
  type MetricFamily,
  type MetricLabels,
  type MetricRegistry,
  type MetricSample,
} from './metrics/metric-registry.ts';
export {
  openOperationsServer,
  readinessAnswer,
  type HealthAnswer,
  type Operations,
  type OperationsServer,
} from './metrics/operations-server.ts';
export {
  stallMsOf,
  StallWatch,
  type Readiness,
  type ReadinessReason,
} from './metrics/readiness.ts';
export { CATALOG_FAMILIES, catalogSamples, type InstanceFacts } from './metrics/catalog-samples.ts';
export {
  LateMeter,
  OPERATION_METERS,
  OperationMeter,
  timedKeys,
  timedStore,
} from './metrics/timed-store.ts';
export { buildInfo } from './metrics/build-info.ts';
export type { ArchiverMetricsOptions } from './metrics/archiver-metrics.ts';
export { serveArchiver, stderrLogger, type FleetSettings, type ServeOptions } from './main.ts';
export type { InstanceTarget, UnreadInstance } from './open-capture.ts';
export type { BackupMode, ProvenHole } from './control/protocol.ts';
export { makeOneOffBackup } from './one-off/one-off-backup.ts';
export type { OneOffBackup, OneOffProgress } from './one-off/one-off-options.ts';
export { recordProofs, type RecordProofOptions } from './control/record-proof.ts';
export {
  revokeTombstone,
  runRetention,
  type Marked,
  type RetentionReport,
} from './retention/run-retention.ts';
export type { Deleted } from './retention/delete-marked.ts';
export type { RetentionRules } from './retention/retention-ports.ts';
