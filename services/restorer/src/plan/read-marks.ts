import type { Mark } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { nameObject } from '@tidemark/core';
import { openFooter, type FooterReaderOptions } from '../fetch/footer-reader.ts';
import type { PlannedObject } from './restore-plan.ts';

export type { FooterReaderOptions } from '../fetch/footer-reader.ts';

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
  const { footer } = await openFooter(object, options);
  try {
    return await footer.marks();
  } catch (cause) {
    throw nameObject(cause, options.reader.nameOf(object));
  }
}
