import { ByteReader } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { type Mark } from './mark.ts';

/** Upper bound of the content of a marks section, in bytes. */
export const MARKS_BYTES_MAX = 16 * 1_048_576;

const FLAG_SAMPLE = 1;
const FLAG_NOT_AFTER = 2;
const FLAGS_MAX = 3;

/**
 * Encodes marks in offset order, as differences: offset from `start` (marks of earlier offsets may
 * be among them), time from the mark before, upper bound from the lower one.
 * @see docs/formats/segment.md, "Marks"
 */
export function encodeMarks(marks: readonly Mark[], start: bigint): Buffer {
  const writer = new ByteWriter(MARKS_BYTES_MAX);
  let timeMs = 0;
  for (const mark of marks) {
    const bounded = mark.notAfterMs !== null;
    writer.u8((mark.source === 'sample' ? FLAG_SAMPLE : 0) | (bounded ? FLAG_NOT_AFTER : 0));
    writer.signed(Number(mark.offset - start));
    writer.signed(mark.notBeforeMs - timeMs);
    if (mark.notAfterMs !== null) writer.signed(mark.notAfterMs - mark.notBeforeMs);
    timeMs = mark.notBeforeMs;
  }
  return writer.take();
}

/** @throws FormatError `TM_SEGMENT_FORMAT`. */
export function decodeMarks(bytes: Buffer, start: bigint): readonly Mark[] {
  const reader = new ByteReader(bytes, 'segment', 'marks');
  const marks: Mark[] = [];
  let timeMs = 0;
  let before = -1n;
  while (reader.left > 0) {
    const flags = reader.u8();
    if (flags > FLAGS_MAX) reader.fail(`flags ${flags} are not known`);
    const offset = start + BigInt(reader.signed());
    if (offset < before || offset < 0n) reader.fail('marks are not in offset order');
    timeMs += reader.signed();
    if (timeMs < 0) reader.fail('a time before 1970');
    const notAfterMs = (flags & FLAG_NOT_AFTER) === 0 ? null : timeMs + reader.signed();
    const source = (flags & FLAG_SAMPLE) === 0 ? 'annotation' : 'sample';
    marks.push({ offset, notBeforeMs: timeMs, notAfterMs, source });
    before = offset;
  }
  return marks;
}
