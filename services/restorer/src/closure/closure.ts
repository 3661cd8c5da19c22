import type { Selector } from '@tidemark/selector';
import type { SegmentFrame } from '@tidemark/archive';
import type { PlannedObject, PlannedRead } from '../plan/restore-plan.ts';
import type { WantedRange } from './choose-frames.ts';
import type { DatabaseMap } from './database-map.ts';
import type { MemberSet } from './member-set.ts';
import type { SkipRange } from './skip-range.ts';
import type { Everything, GlobalCommand } from './walk-back.ts';

/** A segment that is read, whole or in part. */
export interface SelectedRead extends PlannedRead {
  /** All frames of the segment, as its footer names them; null: it is read from end to end. */
  readonly frames: readonly SegmentFrame[] | null;
  /** The segment before it, needed or not: its marks tell when the first commands ran. */
  readonly before: PlannedObject | null;
}

/** How much of a log is read. Sealed bytes. */
export interface LogShare {
  /** Of all segments between the snapshot and the cut. */
  readonly logBytes: number;
  /** Of these, what was read to find out what is needed. */
  indexBytes: number;
  /** Of these, what is read to be replayed. */
  readonly frameBytes: number;
}

/**
 * What must be replayed so that the selected keys are exactly as they were (design.md, I10): fixed by
 * plan and selector, so that every process finds the same.
 */
export interface Closure {
  /** Null: every key; only commands are left out. */
  readonly selector: Selector | null;
  readonly skip: SkipRange | null;
  readonly members: MemberSet;
  /** Which dataset each number stands for where the replay begins, or where `everything` ends. */
  readonly numbering: DatabaseMap;
  /** FLUSHDB and SWAPDB, from the first to the last. */
  readonly globals: readonly GlobalCommand[];
  readonly everything: Everything | null;
  /** A FLUSHALL stands before all that matters: the snapshot is not needed. */
  readonly startsEmpty: boolean;
  readonly keepFunctions: boolean;
  /** Joined, from the first to the last. */
  readonly ranges: readonly WantedRange[];
  /** Segments that hold a part of them, in order. */
  readonly reads: readonly SelectedRead[];
  readonly share: LogShare;
}

/** Whether an entry of the snapshot is needed. */
export function needsEntry(closure: Closure, db: number, key: Buffer): boolean {
  if (closure.everything !== null) return true;
  return closure.members.mattersFromStart(closure.numbering.datasetOf(db), key);
}
