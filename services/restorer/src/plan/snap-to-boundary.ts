import { CommandDecoder } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import { nameObject, PlanError } from '@tidemark/core';
import type { CatalogSegment } from '@tidemark/catalog';
import { objectOfSegment, type FooterReaderOptions } from './read-marks.ts';

/**
 * The last command boundary outside MULTI/EXEC at or before an offset.
 *
 * Decodes from the nearest segment that starts on such a boundary.
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
  let first = covering.length - 1;
  while (first > 0 && !startsOnBoundary(covering[first])) first -= 1;
  const start = covering[first]?.header;
  if (start === undefined || !startsOnBoundary(covering[first])) {
    throw new PlanError(
      'TM_OFFSET_NOT_RESTORABLE',
      'no command boundary is known before the offset',
      {
        context: { offset },
      },
    );
  }
  const decoder = new CommandDecoder({ offset: start.start, db: start.db, annotations: false });
  for (const segment of covering.slice(first)) {
    const object = objectOfSegment(segment);
    const to = segment.end < offset ? segment.end : offset;
    await footers.keyOf(segment.object.dekId);
    try {
      const payload = footers.reader.opened(object);
      for await (const part of segmentCommands(payload, segment.header, { to })) {
        decoder.push(Buffer.from(part.buffer, part.byteOffset, part.length));
      }
    } catch (cause) {
      throw nameObject(cause, footers.reader.nameOf(object));
    }
  }
  return decoder.boundary < floor ? floor : decoder.boundary;
}

function startsOnBoundary(segment: CatalogSegment | undefined): boolean {
  if (segment === undefined) return false;
  return !segment.header.inMulti && segment.header.partialBytes === 0;
}
