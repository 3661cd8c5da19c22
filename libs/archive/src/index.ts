export {
  instanceLogKey,
  instanceCheckpointKey,
  instanceCheckpointPrefix,
  instanceLogPrefix,
  instancePrefix,
  instanceRecordKey,
  parseObjectKey,
  segmentKey,
  snapshotKey,
  tdeCanaryKey,
  tdeMarkerKey,
  tdePrefix,
  wrappedKeyKey,
  undoPartKey,
  undoPrefix,
  wrappedKeyPrefix,
  writerCheckpointKey,
  writerCheckpointPrefix,
  writerLogKey,
  writerLogPrefix,
  writerPrefix,
  type ObjectKeyParts,
  type SegmentPlace,
  type WriterPlace,
} from './layout.ts';
export { NODE_FACTS_PLACE, objectIdentity, type ObjectIdentity } from './identity.ts';
export { FACTS_RAW_MAX, factsJson, packFacts, unpackFacts } from './facts/facts-codec.ts';
export type { AclUserFacts, CommandFacts, FactsPart, NodeFactsRecord } from './facts/node-facts.ts';
export { splitSecrets } from './facts/secrets.ts';
export { findCut, provenSecond, type Cut, type Mark } from './marks/mark.ts';
export { MarkBook } from './marks/mark-book.ts';
export { stretchesOf, type ClockStep, type SecondRange, type Stretch } from './clock/clock-step.ts';
export { passesOf, stretchAt } from './clock/passes.ts';
export {
  computeWindows,
  HOLE_REASONS,
  nearestRestorable,
  windowAt,
  type Hole,
  type HoleReason,
  type TimelineSpan,
  type WindowRange,
  type Windows,
} from './windows.ts';
export {
  planReads,
  type PlannedRead,
  type PlannedSegment,
  type PlannedSnapshot,
  type PlanReadsOptions,
  type ReadPlan,
} from './plan-reads.ts';
export type { RangeReader } from './frames/object-tail.ts';
export {
  SegmentBuilder,
  type BuiltSegment,
  type SegmentBuilderOptions,
} from './segment/segment-builder.ts';
export type { SegmentHeader } from './segment/header.ts';
export type { SegmentFrame } from './segment/frame-index.ts';
export { commandName, type CommandCounts } from './segment/stats.ts';
export type { Flow, FlowEffect, FlowEntry, FlowKey } from './segment/flow.ts';
export type { KeyIndex } from './segment/key-lookup.ts';
export { rowOf } from './segment/key-merge.ts';
export { INDEXED_KEY_MAX } from './segment/key-table.ts';
export { readSegmentFooter, type SegmentFooter } from './segment/segment-footer.ts';
export {
  frameCommands,
  framesOfRange,
  segmentCommands,
  type OffsetRange,
} from './segment/segment-commands.ts';
export type {
  UndoHead,
  UndoItem,
  UndoKey,
  UndoPiece,
  UndoValue,
  UndoWritten,
} from './undo/undo-item.ts';
export { packUndo } from './undo/pack-undo.ts';
export { openUndo, type UndoPart } from './undo/unpack-undo.ts';
export { packSnapshot, type PackSnapshotOptions } from './snapshot/pack-snapshot.ts';
export { unpackSnapshot, type UnpackSnapshotOptions } from './snapshot/unpack-snapshot.ts';
export {
  readSnapshotFooter,
  type SnapshotFooter,
  type SnapshotFrame,
  type SnapshotHead,
} from './snapshot/snapshot-footer.ts';
