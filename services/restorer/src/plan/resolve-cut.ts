import {
  findCut,
  nearestRestorable,
  readSegmentFooter,
  windowAt,
  type Cut,
  type Mark,
} from '@tidemark/archive';
import type { Catalog, CatalogSegment } from '@tidemark/catalog';
import { collectBytes, IntegrityError, nameObject, PlanError, TidemarkError } from '@tidemark/core';
import { openRange, parseSealedHeader, plainSizeOf, type DataKey } from '@tidemark/crypto';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { PlannedCut, PlannedObject } from './restore-plan.ts';

const HEAD_BYTES = 4_196;
/** Segments in which the time of the last commands is looked for: one small read each. */
const LOOK_BACK_SEGMENTS = 16;
const RANGE_BYTES_MAX = 512 * 1024 * 1024;

/** How the footer of a segment is read. */
export interface FooterReaderOptions {
  readonly reader: ObjectReader;
  readonly keyOf: (dekId: string) => Promise<DataKey>;
}

/** A segment of the catalog as an object to be read. */
export function objectOfSegment(segment: CatalogSegment): PlannedObject {
  const { object, timeline, start } = segment;
  return { ref: object, timeline, start };
}

/**
 * The cut of a second on a timeline: the first mark that is later than it. Reads the footer of one
 * segment.
 * @throws PlanError `TM_TIME_NOT_RESTORABLE` with the nearest restorable seconds.
 */
export async function resolveCut(
  catalog: Catalog,
  instance: string,
  second: number,
  options: FooterReaderOptions,
): Promise<PlannedCut> {
  const range = windowAt(catalog.windows(instance), second);
  if (range === null) throw notRestorable(catalog, instance, second);
  const { timeline } = range;
  const row = catalog.segmentForCut(timeline, second);
  if (row === null) {
    // Nothing was written after it: the cut is the end of what there is.
    const offset = durableEnd(catalog, instance, timeline);
    const notAfterMs = await boundAtEnd(timeline, offset, catalog, options);
    return { timeline, offset, notBeforeMs: null, notAfterMs };
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
    if (neighbour.start === row.start) continue;
    for (const mark of await readMarks(neighbour, options)) {
      if (mark.offset !== offset || mark.notAfterMs === null) continue;
      bound = bound === null ? mark.notAfterMs : Math.min(bound, mark.notAfterMs);
    }
  }
  return bound;
}

/**
 * Until when the last commands of a timeline ran, as far as its last segments tell: the mark at its
 * very end does, and so does the last annotation, for a later second would have got another one. It
 * may lie some segments back when a second took several. With neither, commands may have come after
 * the last sample, nobody knows how long after.
 */
async function boundAtEnd(
  timeline: string,
  end: bigint,
  catalog: Catalog,
  options: FooterReaderOptions,
): Promise<number | null> {
  let to = end;
  for (let back = 0; back < LOOK_BACK_SEGMENTS; back++) {
    const range = { fromOffset: to > 0n ? to - 1n : 0n, toOffset: to };
    const row = catalog.segments(timeline, range).at(-1);
    if (row === undefined) return null;
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

/** The refusal of a second, with the nearest restorable ones. */
export function notRestorable(catalog: Catalog, instance: string, second: number): PlanError {
  const windows = catalog.windows(instance);
  const { before, after } = nearestRestorable(windows, second);
  const hole = windows.holes.find(({ from, to }) => from <= second && second <= to);
  const iso = (at: number): string => new Date(at * 1000).toISOString().replace('.000Z', 'Z');
  const nearest = [before, after].filter((at) => at !== null).map(iso);
  const why = hole === undefined ? 'it lies outside the windows' : `hole: ${hole.reason}`;
  return new PlanError('TM_TIME_NOT_RESTORABLE', `${iso(second)} is not restorable (${why})`, {
    context: { second, nearestBefore: before, nearestAfter: after },
    hint:
      nearest.length === 0
        ? 'nothing can be restored yet: no snapshot is stored'
        : `nearest restorable: ${nearest.join(' or ')}`,
  });
}

async function readMarks(
  row: CatalogSegment,
  options: FooterReaderOptions,
): Promise<readonly Mark[]> {
  const object = objectOfSegment(row);
  try {
    return await readFooterMarks(object, options);
  } catch (cause) {
    throw nameObject(cause, options.reader.nameOf(object));
  }
}

async function readFooterMarks(
  object: PlannedObject,
  { reader, keyOf }: FooterReaderOptions,
): Promise<readonly Mark[]> {
  const size = object.ref.size;
  const headBytes = await collect(reader.sealed(object, Math.min(size, HEAD_BYTES)));
  const header = parseSealedHeader(headBytes);
  if (typeof header === 'number') {
    throw new IntegrityError('TM_SEAL_TRUNCATED', 'an object ends within its header', {
      context: { object: reader.nameOf(object), size },
    });
  }
  const dataKey = await keyOf(object.ref.dekId);
  reader.proveHeader(object, header, dataKey);
  const read = (start: number, end: number): Promise<Buffer> =>
    collect(
      openRange({
        read: (from, to) => reader.sealedRange(object, from, to),
        header,
        dataKey,
        sealedSize: size,
        start,
        end,
      }),
    );
  const footer = await readSegmentFooter(read, plainSizeOf(size, header));
  return footer.marks();
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return collectBytes(
    source,
    RANGE_BYTES_MAX,
    (bytes) => new TidemarkError('TM_LIMIT', 'a range is too long', { context: { bytes } }),
  );
}
