import { INDEXED_KEY_MAX, rowOf, type KeyIndex, type SegmentFrame } from '@tidemark/archive';
import type { Selector } from '@tidemark/selector';
import type { DatabaseMap } from './database-map.ts';
import type { MemberSet } from './member-set.ts';

/** A key that is looked for costs about as much as passing this many keys of a list. */
const LOOK_UP_COST = 16;

/** What is asked of the index of a segment. */
export interface FrameQuestion {
  readonly index: KeyIndex;
  readonly selector: Selector;
  readonly members: MemberSet;
  /** Numberings in force within the segment. */
  readonly numberings: readonly DatabaseMap[];
  /** Highest database of a command in it. */
  readonly maxDb: number;
  /** Offsets of commands that end in it. */
  readonly within: { readonly from: number; readonly to: number };
}

/**
 * The frames of a segment in which a key occurs that matters there.
 * @returns Their numbers; `all` when the index cannot tell.
 */
export function chooseFrames(question: FrameQuestion): ReadonlySet<number> | 'all' {
  const { index, selector } = question;
  if (index.kind === 'none') return 'all';
  const { literals } = selector;
  if (literals !== null && (index.kind === 'filter' || isFew(question, literals.length))) {
    return lookUp(question, literals);
  }
  return index.kind === 'filter' ? 'all' : passThrough(question);
}

function isFew({ index, members, maxDb }: FrameQuestion, literals: number): boolean {
  return (literals + members.followed) * (maxDb + 1) * LOOK_UP_COST < (index.count ?? 0);
}

function lookUp(question: FrameQuestion, literals: readonly Buffer[]): ReadonlySet<number> | 'all' {
  const { index } = question;
  const chosen = new Set<number>();
  const rows: Buffer[] = [];
  for (const { db, key } of mattering(question, literals)) {
    if (index.kind === 'keys' && key.length <= INDEXED_KEY_MAX) {
      rows.push(rowOf(db, key));
      continue;
    }
    const frames = index.framesOf(db, key);
    // A filter has an answer for a few keys only: of many one is soon found where it is not.
    if (frames === null) return 'all';
    for (const frame of frames) chosen.add(frame);
  }
  // In one pass: each key alone would be a walk over half of the list.
  rows.sort((a, b) => a.compare(b));
  index.findEach(rows, (_, frames) => {
    for (const frame of frames) chosen.add(frame);
  });
  return chosen;
}

/** Keys that matter in a segment, by the numbers that databases have in it: one after the other. */
function* mattering(
  { members, numberings, maxDb, within }: FrameQuestion,
  literals: readonly Buffer[],
): Generator<{ readonly db: number; readonly key: Buffer }> {
  const followed: { readonly dataset: number; readonly key: Buffer }[] = [];
  members.forEachFollowed(within, (dataset, key) => followed.push({ dataset, key }));
  for (const numbering of numberings) {
    for (let db = 0; db <= maxDb; db += 1) {
      const dataset = numbering.datasetOf(db);
      for (const key of literals) {
        if (members.mattersWithin(dataset, key, within)) yield { db, key };
      }
      for (const one of followed) if (one.dataset === dataset) yield { db, key: one.key };
    }
  }
}

function passThrough({ index, members, numberings, within }: FrameQuestion): ReadonlySet<number> {
  const chosen = new Set<number>();
  index.forEach((db, key, frames) => {
    if (frames.every((frame) => chosen.has(frame))) return;
    const matters = numberings.some((one) => members.mattersWithin(one.datasetOf(db), key, within));
    if (matters) for (const frame of frames) chosen.add(frame);
  });
  return chosen;
}

/** A stretch of a log that is replayed in part: it begins between two commands. */
export interface WantedRange {
  readonly from: bigint;
  readonly to: bigint;
  /** Database selected at `from`. */
  readonly db: number;
}

/**
 * The stretches that hold the chosen frames. A frame that begins within a command begins after it where
 * the command is not wanted, else with it: commands cannot be told apart from the middle of one.
 *
 * Not wanted: the frame before is not chosen, in which that command has bytes and would be listed. The
 * first frame of a segment cannot be told so, for the segment before does not list the command.
 */
export function rangesOf(
  frames: readonly SegmentFrame[],
  chosen: ReadonlySet<number> | 'all',
): readonly WantedRange[] {
  const ranges: WantedRange[] = [];
  for (const [number, frame] of frames.entries()) {
    if (chosen !== 'all' && !chosen.has(number)) continue;
    const { start, rawLength, db, partialBytes, restBytes } = frame;
    const foreign = number > 0 && chosen !== 'all' && !chosen.has(number - 1) && restBytes > 0;
    if (foreign && restBytes >= rawLength) continue; // nothing of another command is in it
    const from = foreign ? start + BigInt(restBytes) : start - BigInt(partialBytes);
    ranges.push({ from, to: start + BigInt(rawLength), db });
  }
  return ranges;
}

/** Joins stretches that overlap or touch; from the first to the last. */
export function joinRanges(ranges: readonly WantedRange[]): readonly WantedRange[] {
  const sorted = [...ranges].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
  const joined: WantedRange[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || range.from > last.to) joined.push(range);
    else if (range.to > last.to) joined[joined.length - 1] = { ...last, to: range.to };
  }
  return joined;
}
