import type { SegmentHeader } from '@tidemark/archive';
import type { LogEntry } from '../log/entry-codec.ts';
import type {
  CapturedEntries,
  HoleProven,
  ObjectRef,
  SegmentsMerged,
  SnapshotStored,
} from './events.ts';
import { stretchOf, type TimelineState, type WriterState } from './writer-state.ts';

/** Entries between two checkpoints. */
export const CHECKPOINT_EVERY = 1024;

/**
 * From so many rows on, what a checkpoint holds stays there, and later ones name it as their base:
 * a checkpoint never grows far beyond this.
 */
export const KEPT_ROWS_MAX = 2048;

/** The entry that names an object. */
interface NamedObject {
  /** Sequence number of the entry. */
  readonly seq: number;
  /** Where the body of the entry begins, when the object lies there; else 0. */
  readonly bodyOffset: number;
  readonly object: ObjectRef;
}

/** A segment that a restore can use: captured, or merged, and held by no merged one. */
export interface KeptSegment extends NamedObject {
  readonly header: SegmentHeader;
  /** Of one that was captured, its own entry. */
  readonly captured: CapturedEntries;
  /** Steps back of the clock before it in its timeline. */
  readonly stretch: number;
  readonly provenTo: number | null;
  /** When it was stored; of a merged one, the last segment that it holds. */
  readonly atMs: number;
}

/** A snapshot that a restore can use. */
export interface KeptSnapshot extends NamedObject {
  readonly event: Omit<SnapshotStored, 'type' | 'object'>;
}

/** Stored facts of the node. */
export interface KeptFacts extends NamedObject {
  readonly atMs: number;
}

/** Two timelines between which nothing is missing. */
export type KeptProof = Pick<HoleProven, 'closed' | 'opened'>;

/**
 * What the log says of objects and older timelines: all that a reader needs of its entries besides
 * the fold. A checkpoint holds it, so that nobody has to read the entries before it.
 */
export interface KeptRows {
  /**
   * Number of the checkpoint that holds what was kept up to that entry; these rows came after it.
   * Null = these are all.
   */
  readonly base: number | null;
  /** Timelines before the newest one, in the order of their opening. */
  readonly timelines: readonly TimelineState[];
  /** By timeline in that order, then by offset. */
  readonly segments: readonly KeptSegment[];
  readonly snapshots: readonly KeptSnapshot[];
  readonly facts: readonly KeptFacts[];
  readonly proofs: readonly KeptProof[];
}

/** The rows of no entries. */
export const NO_ROWS: KeptRows = {
  base: null,
  timelines: [],
  segments: [],
  snapshots: [],
  facts: [],
  proofs: [],
};

/** Whether a checkpoint belongs after this entry. */
export function isCheckpointSeq(seq: number): boolean {
  return seq > 0 && seq % CHECKPOINT_EVERY === 0;
}

/**
 * The rows after one more entry.
 * @param before - The fold before the entry, `after` the one after it.
 */
export function keepRows(
  rows: KeptRows,
  before: WriterState,
  after: WriterState,
  entry: LogEntry,
): KeptRows {
  const kept = goOn(rows, before.seq);
  const { event, seq } = entry;
  const named = (object: ObjectRef): NamedObject => ({
    seq,
    bodyOffset: object.key === null ? entry.bodyOffset : 0,
    object,
  });
  switch (event.type) {
    case 'TimelineOpened':
      if (before.timeline === null) return kept;
      return { ...kept, timelines: [...kept.timelines, before.timeline] };
    case 'SegmentStored': {
      const { segment: header, provenTo, atMs } = event;
      const stretch = after.timeline === null ? 0 : stretchOf(after.timeline);
      const captured = { first: seq, last: seq };
      const row = { ...named(event.object), header, captured, stretch, provenTo, atMs };
      return { ...kept, segments: [...kept.segments, row] };
    }
    case 'SegmentsMerged':
      return { ...kept, segments: replaced(kept.segments, event, named(event.object)) };
    case 'SnapshotStored': {
      const { type: _, object, ...rest } = event;
      return { ...kept, snapshots: [...kept.snapshots, { ...named(object), event: rest }] };
    }
    case 'NodeFactsStored':
      return {
        ...kept,
        facts: [...kept.facts, { ...named(event.object), atMs: event.atMs }],
      };
    case 'HoleProven': {
      const { closed, opened } = event;
      return { ...kept, proofs: [...kept.proofs, { closed, opened }] };
    }
    default:
      return kept;
  }
}

/** Whether a merged segment holds all of another one. */
export function isHeldBy(
  header: SegmentHeader,
  { timeline, start, end }: Pick<SegmentHeader, 'timeline' | 'start' | 'end'>,
): boolean {
  return header.timeline === timeline && header.start >= start && header.end <= end;
}

/** Full rows stay in the checkpoint that was written behind entry `seq`. */
function goOn(rows: KeptRows, seq: number): KeptRows {
  if (!isCheckpointSeq(seq)) return rows;
  const { timelines, segments, snapshots, facts, proofs } = rows;
  const lists = [timelines, segments, snapshots, facts, proofs];
  const count = lists.reduce((sum, { length }) => sum + length, 0);
  return count < KEPT_ROWS_MAX ? rows : { ...NO_ROWS, base: seq };
}

/** Puts a merged segment where those stood that it holds. */
function replaced(
  segments: readonly KeptSegment[],
  event: SegmentsMerged,
  named: NamedObject,
): readonly KeptSegment[] {
  const { segment: header, captured, stretch, provenTo, throughMs: atMs } = event;
  const rest = segments.filter((one) => !isHeldBy(one.header, header));
  const after = rest.findIndex(
    (one) => one.header.timeline === header.timeline && one.header.start >= header.end,
  );
  const at = after < 0 ? rest.length : after;
  const row = { ...named, header, captured, stretch, provenTo, atMs };
  return [...rest.slice(0, at), row, ...rest.slice(at)];
}
