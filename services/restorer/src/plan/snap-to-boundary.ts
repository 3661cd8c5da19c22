import { CommandDecoder } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import { nameObject, PlanError } from '@tidemark/core';
import type { CatalogSegment } from '@tidemark/catalog';
import { objectOfSegment, type FooterReaderOptions } from './read-marks.ts';

/**
 * The last command boundary outside MULTI/EXEC at or before an offset.
 *
 * Decodes from the nearest segment that starts on such a boundary, or from the snapshot.
 * @param floor - Where the snapshot stands: on such a boundary.
 * @param segments - The segments of the timeline from the snapshot on, in order.
 * @throws PlanError `TM_OFFSET_NOT_RESTORABLE` when no segment starts on a boundary.
 */
export async function snapToBoundary(
  offset: bigint,
  floor: bigint,
  segments: readonly CatalogSegment[],
  footers: FooterReaderOptions,
): Promise<bigint> {
  if (offset === floor) return offset;
  const covering = segments.filter(({ start, end }) => start < offset && end > floor);
  const isStart = (one: CatalogSegment): boolean => one.start <= floor || startsOnBoundary(one);
  const first = covering.findLastIndex(isStart);
  const start = covering[first]?.header;
  if (start === undefined) {
    throw new PlanError(
      'TM_OFFSET_NOT_RESTORABLE',
      'no command boundary is known before the offset',
      {
        context: { offset },
      },
    );
  }
  const begin = start.start < floor ? floor : start.start;
  // Which database is selected there does not matter here.
  const decoder = new CommandDecoder({ offset: begin, db: start.db, annotations: false });
  for (const segment of covering.slice(first)) {
    const object = objectOfSegment(segment);
    const to = segment.end < offset ? segment.end : offset;
    await footers.keyOf(segment.object.dekId);
    try {
      const payload = footers.reader.opened(object);
      const from = segment.start < begin ? begin : segment.start;
      for await (const part of segmentCommands(payload, segment.header, { from, to })) {
        decoder.push(Buffer.from(part.buffer, part.byteOffset, part.length));
      }
    } catch (cause) {
      throw nameObject(cause, footers.reader.nameOf(object));
    }
  }
  return decoder.boundary < floor ? floor : decoder.boundary;
}

function startsOnBoundary(segment: CatalogSegment): boolean {
  return !segment.header.inMulti && segment.header.partialBytes === 0;
}
