export { AofLogCheck, type AofLogFacts, type LogFault } from './check/log-check.ts';
export { ANNOTATION_BYTES_MAX, parseTimestampLine } from './annotations/annotation-line.ts';
export { adaptCommands, type AdaptCommandsOptions } from './commands/adapt/adapt-commands.ts';
export type { AdaptPayload } from './commands/adapt/rules/server-rules.ts';
export type { TargetDialect } from './commands/adapt/target-dialect.ts';
export { argumentBytes, argumentInteger, argumentIs, keyword } from './commands/arguments.ts';
export {
  COMMANDS,
  KEY_RULE,
  SPEC_EXEC,
  SPEC_MULTI,
  SPEC_SELECT,
  SPEC_UNKNOWN,
  type CommandSpec,
  type KeyRule,
} from './commands/command-table.ts';
export {
  rewriteCommandExpiry,
  type RewriteExpiryOptions,
} from './commands/expiry/rewrite-expiry.ts';
export type { NewExpiry } from './commands/expiry/new-expiry.ts';
export { visitExpiries, type ExpiryVisitor } from './commands/expiry/visit-expiries.ts';
export { CommandFilter, type CommandFilterSettings } from './commands/filter/command-filter.ts';
export { findCommand } from './commands/find-command.ts';
export { KEY_EFFECT, isGlobalEffect, type KeyEffect } from './commands/key-effect.ts';
export type { KeyVisitor } from './commands/key-visit.ts';
export { cutCommands } from './commands/stages/cut-commands.ts';
export { tapCommands, type TapCommandsOptions } from './commands/stages/tap-commands.ts';
export { swappedDatabases, visitKeys } from './commands/visit-keys.ts';
export type {
  AnnotationMark,
  ArgumentColumns,
  CommandBatch,
  RawPositions,
  UnfinishedCommand,
} from './decoder/command-batch.ts';
export { CommandDecoder, type CommandDecoderOptions } from './decoder/command-decoder.ts';
export type { DecoderLimits } from './decoder/limits.ts';
export {
  isPlainFileName,
  MANIFEST_BYTES_MAX,
  parseManifest,
  type AofManifest,
  type ManifestFile,
  type ManifestFileType,
} from './manifest/parse-manifest.ts';
export { AofTail, openAofTail, type SampleStamp } from './tail/aof-tail.ts';
export { digestOf } from './tail/incr-reader.ts';
export {
  DIGEST_BYTES_MAX,
  UNSEEN_SUCCESSOR,
  type AofLayout,
  type AofTailOptions,
  type BaseFile,
  type BreakReason,
  type Continuity,
  type FileIdentity,
  type IncrFile,
  type PinClass,
  type TailCursor,
  type TailItem,
  type TailPosition,
  type TailSample,
} from './tail/model.ts';
export { probeAofDir, removeAofPins, type AofDirFacts } from './tail/probe.ts';
