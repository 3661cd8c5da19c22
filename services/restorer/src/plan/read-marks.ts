import { readSegmentFooter, type Mark } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { collectBytes, IntegrityError, nameObject, TidemarkError } from '@tidemark/core';
import { openRange, parseSealedHeader, plainSizeOf, type DataKey } from '@tidemark/crypto';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { PlannedObject } from './restore-plan.ts';

const HEAD_BYTES = 4_196;
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

/** The marks of a segment, from its footer. */
export async function readMarks(
  row: CatalogSegment,
  options: FooterReaderOptions,
): Promise<readonly Mark[]> {
  return readObjectMarks(objectOfSegment(row), options);
}

/** The marks of a segment that stands in a plan. */
export async function readObjectMarks(
  object: PlannedObject,
  options: FooterReaderOptions,
): Promise<readonly Mark[]> {
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
