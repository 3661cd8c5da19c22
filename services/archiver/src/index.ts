export {
  Archiver,
  controlSocketPath,
  type ArchiverOptions,
  type InstanceTarget,
} from './archiver.ts';
export type { CaptureLimits } from './capture/capture-options.ts';
export type { CaptureStatus } from './capture/capture-status.ts';
export { callArchiver, type CallOptions } from './control/control-client.ts';
export type { Logger, LogFields } from './logger.ts';
export { serveArchiver, type ServeOptions } from './main.ts';
