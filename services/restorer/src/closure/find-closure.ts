import type { Flow, KeyIndex, SegmentFrame } from '@tidemark/archive';
import { framesOfRange } from '@tidemark/archive';
import { compileSelector, type Selector, type SelectorSpec } from '@tidemark/selector';
import { openFooter, type FooterReaderOptions } from '../fetch/footer-reader.ts';
import type { PlannedRead, RestorePlan } from '../plan/restore-plan.ts';
import { chooseFrames, joinRanges, rangesOf, type WantedRange } from './choose-frames.ts';
import type { Closure, SelectedRead } from './closure.ts';
import { DatabaseMap } from './database-map.ts';
import { MemberSet } from './member-set.ts';
import type { SkipRange } from './skip-range.ts';
import { WalkBack } from './walk-back.ts';

/** Footers that are fetched at once. */
const AHEAD = 8;

const EVERY_KEY: SelectorSpec = {
  include: [{ kind: 'glob', pattern: '*' }],
  exclude: [],
  dbs: null,
  excludeDbs: [],
  types: null,
  excludeTypes: [],
};

/** Everything but the commands that are left out. */
export function closureOfAll(plan: RestorePlan, skip: SkipRange | null): Closure {
  const [first] = plan.reads;
  const last = plan.reads.at(-1);
  const logBytes = plan.reads.reduce((sum, { object }) => sum + object.ref.size, 0);
  return {
    selector: null,
    skip,
    members: new MemberSet(compileSelector(EVERY_KEY)),
    numbering: new DatabaseMap(),
    globals: [],
    everything: { offset: Number.MAX_SAFE_INTEGER, command: '', reason: '' },
    startsEmpty: false,
    keepFunctions: true,
    ranges:
      first === undefined || last === undefined
        ? []
        : [{ from: first.from, to: last.to, db: first.header.db }],
    reads: wholeReads(plan.reads),
    share: { logBytes, indexBytes: 0, frameBytes: logBytes },
  };
}

/** What is selected of a plan. */
export interface ClosureWish {
  readonly selector: Selector;
  readonly skip: SkipRange | null;
  readonly keepFunctions: boolean;
}

/** What the footer of a segment tells. */
interface Footer {
  readonly read: PlannedRead;
  readonly flow: Flow;
  readonly keys: KeyIndex;
  readonly frames: readonly SegmentFrame[];
}

/**
 * Finds out what must be replayed for a selection. Reads the footers of the plan's segments, from the
 * last to the first, until nothing before can matter.
 * @throws FormatError `TM_SEGMENT_FORMAT`, IntegrityError, StoreError for a footer that is damaged.
 */
export async function findClosure(
  plan: RestorePlan,
  wish: ClosureWish,
  options: FooterReaderOptions,
): Promise<Closure> {
  const counter = options.bytesRead ?? { bytes: 0 };
  const footers = { ...options, bytesRead: counter };
  const before = counter.bytes;
  const members = new MemberSet(wish.selector);
  const walk = new WalkBack(members, wish.skip, wish.keepFunctions);
  const found: WantedRange[] = [];
  const reads: SelectedRead[] = [];
  // Where the last command that is needed begins, when that is in an earlier segment.
  let carried: bigint | null = null;
  const from = Number(plan.reads[0]?.from ?? 0n);
  let to = Number(plan.reads.at(-1)?.to ?? 0n);
  let at = plan.reads.length - 1;
  for await (const footer of footersBackwards(plan.reads, footers)) {
    const { read, flow } = footer;
    walk.cross({ flow, from, to });
    to = Math.min(to, Number(read.header.start) - read.header.partialBytes);
    const own = rangesOf(footer.frames, framesWanted(footer, walk, wish));
    for (const range of own) found.push(within(range, plan));
    at -= 1;
    if (own.length > 0 || carried !== null) {
      reads.push({ ...read, frames: footer.frames, before: plan.reads[at]?.object ?? null });
    }
    const [first] = own;
    if (first !== undefined) carried = first.from;
    if (carried !== null && carried >= read.from) carried = null;
    if (walk.everything !== null) {
      if (reads.at(-1)?.object === read.object) reads.pop();
      const { whole, range } = everythingUpTo(plan, read);
      reads.push(...[...whole].reverse());
      found.push(range);
      break;
    }
    if (walk.ended && carried === null) break;
  }
  const ranges = joinRanges(found);
  reads.reverse();
  return {
    selector: wish.selector,
    skip: wish.skip,
    members,
    numbering: walk.databases.copy(),
    globals: walk.globals.reverse(),
    everything: walk.everything,
    startsEmpty: walk.flushedAll && !wish.keepFunctions,
    keepFunctions: wish.keepFunctions,
    ranges,
    reads,
    share: {
      logBytes: plan.reads.reduce((sum, { object }) => sum + object.ref.size, 0),
      indexBytes: counter.bytes - before,
      frameBytes: frameBytesOf(reads, ranges),
    },
  };
}

/** The footers of the plan's segments, the last one first; some are fetched ahead. */
async function* footersBackwards(
  reads: readonly PlannedRead[],
  options: FooterReaderOptions,
): AsyncGenerator<Footer, void, undefined> {
  const ahead: Promise<Footer>[] = [];
  let next = reads.length - 1;
  for (;;) {
    for (; ahead.length < AHEAD && next >= 0; next -= 1) {
      const read = reads[next];
      if (read === undefined) break;
      const footer = readFooter(read, options);
      // A fault belongs to the turn of its segment, which may never come.
      footer.catch(() => undefined);
      ahead.push(footer);
    }
    const head = ahead.shift();
    if (head === undefined) return;
    yield await head;
  }
}

async function readFooter(read: PlannedRead, options: FooterReaderOptions): Promise<Footer> {
  const { footer } = await openFooter(read.object, options);
  const [flow, keys, frames] = [await footer.flow(), await footer.keys(), await footer.frames()];
  return { read, flow, keys, frames };
}

function framesWanted(
  { read, keys, frames }: Footer,
  walk: WalkBack,
  wish: ClosureWish,
): ReadonlySet<number> | 'all' {
  const { header } = read;
  const from = Number(header.start) - header.partialBytes;
  const chosen = chooseFrames({
    index: keys,
    selector: wish.selector,
    members: walk.members,
    numberings: walk.numberings,
    maxDb: header.maxDb,
    within: { from, to: Number(read.to) },
  });
  if (chosen === 'all') return chosen;
  const more = new Set(chosen);
  // What a skipped command means for others is told from the log as it is.
  const globals = wish.skip === null ? [] : walk.globals.map(({ offset }) => offset);
  for (const offset of [...walk.functions, ...globals]) {
    for (const [number, { start, rawLength }] of frames.entries()) {
      // Up to the end of the segment that it ends in: nobody wrote down where that is.
      if (Number(start) + rawLength > offset && offset >= from) more.add(number);
    }
  }
  return more;
}

/** No further back than the plan goes, and no further on. */
function within(range: WantedRange, plan: RestorePlan): WantedRange {
  const start = plan.reads[0]?.from ?? 0n;
  const end = plan.reads.at(-1)?.to ?? 0n;
  const from = range.from < start ? start : range.from;
  return { ...range, from, to: range.to > end ? end : range.to };
}

/** Segments that are read from end to end; the first ones of a plan. */
function wholeReads(reads: readonly PlannedRead[]): readonly SelectedRead[] {
  return reads.map((read, at) => ({
    ...read,
    frames: null,
    before: reads[at - 1]?.object ?? null,
  }));
}

/** All segments up to one, from end to end. */
function everythingUpTo(
  plan: RestorePlan,
  last: PlannedRead,
): { readonly whole: readonly SelectedRead[]; readonly range: WantedRange } {
  const upTo = plan.reads.findIndex(({ object }) => object === last.object);
  const first = plan.reads[0] ?? last;
  return {
    whole: wholeReads(plan.reads.slice(0, upTo + 1)),
    range: { from: first.from, to: last.to, db: first.header.db },
  };
}

/** Both are in order, and a log may have as many of each as it has segments: one pass over them. */
function frameBytesOf(reads: readonly SelectedRead[], ranges: readonly WantedRange[]): number {
  let bytes = 0;
  let first = 0;
  for (const { frames, object, from, to } of reads) {
    if (frames === null) {
      bytes += object.ref.size;
      continue;
    }
    while (first < ranges.length && (ranges[first]?.to ?? 0n) <= from) first += 1;
    const needed = new Set<SegmentFrame>();
    for (let at = first; at < ranges.length; at += 1) {
      const range = ranges[at];
      if (range === undefined || range.from >= to) break;
      for (const frame of framesOfRange(frames, range.from, range.to)) needed.add(frame);
    }
    for (const { length } of needed) bytes += length;
  }
  return bytes;
}
