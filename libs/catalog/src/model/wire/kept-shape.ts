import type { SegmentHeader } from '@tidemark/archive';
import type { KeptFacts, KeptRows, KeptSegment, KeptSnapshot } from '../kept-rows.ts';
import { isJsonObject } from './canonical-json.ts';
import { id, ms, second } from './common.ts';
import { fields, listOf, nullable, whole, type Shape } from './shape.ts';
import { timelineState } from './state-shape.ts';
import {
  capturedEntries,
  mergedHeader,
  objectRef,
  segmentHeader,
  snapshotFacts,
} from './writer-event-shape.ts';

/** Rows that a checkpoint holds; its entries bound them to those of a few thousand entries. */
const ROWS_READ_MAX = 65_536;

const namedObject = { seq: whole(), bodyOffset: whole(), object: objectRef };

/** A captured segment has no field `level`. */
const anySegmentHeader: Shape<SegmentHeader> = {
  encode: (value, path) =>
    value.level === undefined
      ? segmentHeader.encode(value, path)
      : mergedHeader.encode({ ...value, level: value.level }, path),
  decode: (json, path) =>
    isJsonObject(json) && 'level' in json
      ? mergedHeader.decode(json, path)
      : segmentHeader.decode(json, path),
};

/** What a checkpoint keeps of the log besides the fold. */
export const keptRowsShape: Shape<KeptRows> = fields<KeptRows>({
  base: nullable(whole()),
  timelines: listOf(timelineState, ROWS_READ_MAX),
  segments: listOf(
    fields<KeptSegment>({
      ...namedObject,
      header: anySegmentHeader,
      captured: capturedEntries,
      stretch: whole(),
      provenTo: nullable(second),
      atMs: ms,
    }),
    ROWS_READ_MAX,
  ),
  snapshots: listOf(
    fields<KeptSnapshot>({
      ...namedObject,
      event: fields<KeptSnapshot['event']>(snapshotFacts),
    }),
    ROWS_READ_MAX,
  ),
  facts: listOf(fields<KeptFacts>({ ...namedObject, atMs: ms }), ROWS_READ_MAX),
  proofs: listOf(fields({ closed: id, opened: id }), ROWS_READ_MAX),
});
