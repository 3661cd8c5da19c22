import type { Catalog, CatalogSegment, CatalogTimeline } from '@tidemark/catalog';
import type { SecondWindow } from './found-command.ts';

/** How much of a timeline is asked of the catalog at once: so many rows, about. */
const ROWS_MOST = 4_096;
const ROWS_LEAST = 256;
const PAGE_BYTES = 64n * 1024n * 1024n;
const PAGE_BYTES_MIN = 64n * 1024n;
const PAGE_BYTES_MAX = 1n << 50n;

/** Segments without marks that are held back until the next one with marks is known. */
const WAITING_MAX = 1_024;

/**
 * How many segments with marks must lie between a segment and a time for its commands to be older:
 * the marks of one may all have come late, for offsets of the one before.
 */
const MARKED_BETWEEN = 2;

interface Waiting {
  readonly row: CatalogSegment;
  /** Segments with marks that came after it. */
  marked: number;
}

/**
 * The segments of a timeline in which a command of the window may have run, in offset order, by
 * what their headers say of time. Rows are taken in pages: a timeline may have hundreds of
 * thousands.
 */
export function* segmentsWithin(
  catalog: Catalog,
  timeline: CatalogTimeline,
  { since, until }: SecondWindow,
): Generator<CatalogSegment, void, undefined> {
  const last = lastStretch(timeline);
  let waiting: Waiting[] = [];
  let stretch = -1;
  let latest: number | null = null;
  for (const row of rowsFrom(catalog, timeline, firstOffset(catalog, timeline, since))) {
    const { lastSecond } = row.header;
    const ended = row.stretch !== stretch;
    if (ended) {
      latest = null;
      ({ stretch } = row);
    }
    const reached = since === null || (lastSecond !== null && lastSecond >= since);
    if (ended || reached || waiting.length >= WAITING_MAX) {
      for (const one of waiting) yield one.row;
      waiting = [];
    } else if (lastSecond !== null) {
      for (const one of waiting) one.marked += 1;
      waiting = waiting.filter(({ marked }) => marked < MARKED_BETWEEN);
    }
    if (until === null || latest === null || latest <= until) waiting.push({ row, marked: 0 });
    else if (stretch === last) break;
    if (lastSecond !== null) latest = Math.max(latest ?? lastSecond, lastSecond);
  }
  for (const one of waiting) yield one.row;
}

/** Where to begin: before it no command ran as late as `since`, in any stretch. */
function firstOffset(catalog: Catalog, timeline: CatalogTimeline, since: number | null): bigint {
  if (since === null || timeline.end === 0n) return 0n;
  let first: CatalogSegment | null = null;
  for (let stretch = timeline.forgottenStepsBack; stretch <= lastStretch(timeline); stretch++) {
    const row = catalog.segmentForCut(timeline.timeline, since - 1, stretch);
    if (row !== null && (first === null || row.start < first.start)) first = row;
  }
  let at = first?.start ?? timeline.end;
  // The commands after the last mark of a segment ran later than that mark says.
  for (let marked = 0; marked < MARKED_BETWEEN;) {
    const before = segmentBefore(catalog, timeline.timeline, at);
    if (before === null) return at;
    at = before.start;
    if (before.header.lastSecond !== null) marked += 1;
  }
  return at;
}

function lastStretch({ forgottenStepsBack, steps }: CatalogTimeline): number {
  return forgottenStepsBack + steps.filter(({ direction }) => direction === 'back').length;
}

/** The segment that ends at or holds the byte before an offset. */
export function segmentBefore(
  catalog: Catalog,
  timeline: string,
  offset: bigint,
): CatalogSegment | null {
  if (offset <= 0n) return null;
  const range = { fromOffset: offset - 1n, toOffset: offset };
  return catalog.segments(timeline, range).at(-1) ?? null;
}

/** The segment that holds the byte at an offset. */
export function segmentAt(
  catalog: Catalog,
  timeline: string,
  offset: bigint,
): CatalogSegment | null {
  const range = { fromOffset: offset, toOffset: offset + 1n };
  return catalog.segments(timeline, range)[0] ?? null;
}

function* rowsFrom(
  catalog: Catalog,
  { timeline, end }: CatalogTimeline,
  from: bigint,
): Generator<CatalogSegment, void, undefined> {
  let at = from;
  let span = PAGE_BYTES;
  while (at < end) {
    const toOffset = at + span;
    const rows = catalog.segments(timeline, { fromOffset: at, toOffset });
    yield* rows;
    const read = rows.at(-1)?.end ?? at;
    at = read > toOffset ? read : toOffset;
    if (rows.length > ROWS_MOST && span > PAGE_BYTES_MIN) span /= 2n;
    else if (rows.length < ROWS_LEAST && span < PAGE_BYTES_MAX) span *= 2n;
  }
}
