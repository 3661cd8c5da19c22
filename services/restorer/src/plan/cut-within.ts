import { findCut, type Cut, type Stretch } from '@tidemark/archive';
import type { Catalog, CatalogSegment } from '@tidemark/catalog';
import { IntegrityError } from '@tidemark/core';
import { objectOfSegment, readMarks, type FooterReaderOptions } from './read-marks.ts';
import type { PlannedCut } from './restore-plan.ts';

/** Segments in which the time of the last commands is looked for: one small read each. */
const LOOK_BACK_SEGMENTS = 16;

/** A stretch of a timeline, in which a second passes at most once. */
export interface TimelineStretch {
  readonly timeline: string;
  readonly stretch: Stretch;
}

/** The cut of a second that passed in a stretch: a mark, or the end of the stretch. */
export async function cutWithin(
  { timeline, stretch }: TimelineStretch,
  second: number,
  { catalog, instance }: { readonly catalog: Catalog; readonly instance: string },
  options: FooterReaderOptions,
): Promise<PlannedCut> {
  const { index, endedBy } = stretch;
  const row = catalog.segmentForCut(timeline, second, index);
  if (row === null) {
    // Nothing was written after it: the cut is the end of what there is.
    const offset = endedBy?.before ?? durableEnd(catalog, instance, timeline);
    const bound = await boundAtEnd({ timeline, stretch }, offset, catalog, options);
    return { timeline, offset, notBeforeMs: null, notAfterMs: bound ?? endedBy?.fromMs ?? null };
  }
  const marks = await readMarks(row, options);
  const cut = findCut(marks, second);
  if (cut === null) {
    throw new IntegrityError('TM_SEGMENT_FORMAT', 'a segment lacks the mark its header names', {
      context: { object: options.reader.nameOf(objectOfSegment(row)), second },
    });
  }
  return { timeline, ...cut, notAfterMs: await tightest(cut, row, catalog, options) };
}

/**
 * The tightest upper bound of a cut. Marks at its very offset speak of the same commands; when it is
 * the first byte of its segment, or the end of it, some of them lie in the segment before or after.
 */
async function tightest(
  cut: Cut,
  row: CatalogSegment,
  catalog: Catalog,
  options: FooterReaderOptions,
): Promise<number | null> {
  const { offset } = cut;
  const within = offset > row.start && offset < row.end;
  if (within || offset === 0n) return cut.notAfterMs;
  const around = { fromOffset: offset - 1n, toOffset: offset + 1n };
  let bound = cut.notAfterMs;
  for (const neighbour of catalog.segments(row.timeline, around)) {
    if (neighbour.start === row.start || neighbour.stretch !== row.stretch) continue;
    for (const mark of await readMarks(neighbour, options)) {
      if (mark.offset !== offset || mark.notAfterMs === null) continue;
      bound = bound === null ? mark.notAfterMs : Math.min(bound, mark.notAfterMs);
    }
  }
  return bound;
}

/**
 * Until when the last commands of a stretch ran, as far as its last segments tell: the mark at its
 * very end does, and so does the last annotation, for a later second would have got another one. It
 * may lie some segments back when a second took several. With neither, commands may have come after
 * the last sample, nobody knows how long after.
 */
async function boundAtEnd(
  { timeline, stretch }: TimelineStretch,
  end: bigint,
  catalog: Catalog,
  options: FooterReaderOptions,
): Promise<number | null> {
  let to = end;
  for (let back = 0; back < LOOK_BACK_SEGMENTS; back++) {
    const range = { fromOffset: to > 0n ? to - 1n : 0n, toOffset: to };
    const row = catalog.segments(timeline, range).at(-1);
    if (row?.stretch !== stretch.index) return null;
    let bound: number | null = null;
    let stamped: number | null = null;
    for (const { offset, notBeforeMs, notAfterMs, source } of await readMarks(row, options)) {
      if (offset === end && notAfterMs !== null) bound = Math.min(bound ?? notAfterMs, notAfterMs);
      if (source === 'annotation') stamped = Math.max(stamped ?? 0, notBeforeMs + 999);
    }
    if (bound !== null || stamped !== null) return bound ?? stamped;
    to = row.start;
  }
  return null;
}

/** Offset up to which a timeline is stored. */
export function durableEnd(catalog: Catalog, instance: string, timeline: string): bigint {
  return catalog.timelines(instance).find((known) => known.timeline === timeline)?.end ?? 0n;
}
