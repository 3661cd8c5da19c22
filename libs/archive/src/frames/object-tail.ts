import { formatError, type ArchiveFormat } from './byte-reader.ts';
import {
  FRAMES_END,
  openSection,
  parseTable,
  parseTrailer,
  TRAILER_BYTES,
  type SectionEntry,
} from './sections.ts';

/** Reads a range of an object's plain content; `end` is exclusive. */
export type RangeReader = (start: number, end: number) => Promise<Buffer>;

/** Bytes read at once from the end of an object: most footers fit. */
const TAIL_BYTES = 65_536;

/** The end of a segment or snapshot object: its sections, fetched when they are asked for. */
export class ObjectTail {
  /** Position after the last frame. */
  readonly framesEnd: number;
  readonly #format: ArchiveFormat;
  readonly #entries: readonly SectionEntry[];
  readonly #read: RangeReader;

  constructor(entries: readonly SectionEntry[], format: ArchiveFormat, read: RangeReader) {
    const first = entries[0];
    if (first === undefined) throw formatError(format, 'the object has no sections', 0);
    this.framesEnd = first.offset - FRAMES_END.length;
    this.#format = format;
    this.#entries = entries;
    this.#read = read;
  }

  has(type: number): boolean {
    return this.#entries.some((entry) => entry.type === type);
  }

  /**
   * Fetches and unpacks a section.
   * @param rawMax - Upper bound of the content in bytes.
   * @throws FormatError when it is missing, over the bound or damaged.
   */
  async section(type: number, rawMax: number): Promise<Buffer> {
    const entry = this.#entries.find((one) => one.type === type);
    if (entry === undefined) {
      throw formatError(this.#format, `section ${type} is missing`, this.framesEnd);
    }
    if (entry.packedLength > rawMax) {
      const message = `section ${type}: packed length ${entry.packedLength} exceeds ${rawMax}`;
      throw formatError(this.#format, message, entry.offset);
    }
    const packed = await this.#read(entry.offset, entry.offset + entry.packedLength);
    return openSection(packed, entry, rawMax, this.#format);
  }
}

/**
 * Reads the end of an object: one ranged read, a second one only when the table does not fit.
 * @param objectBytes - Size of the plain content in bytes.
 * @param readable - First position that can be read; above 0 when only the end is at hand.
 * @throws FormatError `TM_SEGMENT_FORMAT` or `TM_SNAPSHOT_FORMAT`.
 */
export async function readObjectTail(
  read: RangeReader,
  objectBytes: number,
  format: ArchiveFormat,
  readable = 0,
): Promise<ObjectTail> {
  if (objectBytes - readable < TRAILER_BYTES) {
    throw formatError(format, `${objectBytes - readable} bytes are no trailer`, objectBytes);
  }
  const tailStart = Math.max(readable, objectBytes - TAIL_BYTES);
  const tail = await readExactly(read, tailStart, objectBytes, format);
  const cached: RangeReader = (start, end) =>
    start >= tailStart
      ? Promise.resolve(tail.subarray(start - tailStart, end - tailStart))
      : readExactly(read, start, end, format);
  const trailer = parseTrailer(tail.subarray(tail.length - TRAILER_BYTES), objectBytes, format);
  const tableEnd = trailer.tablePosition + trailer.tableLength;
  if (trailer.tablePosition < readable) {
    throw formatError(format, 'the section table lies among the frames', trailer.tablePosition);
  }
  const entries = parseTable(await cached(trailer.tablePosition, tableEnd), trailer, format);
  if ((entries[0]?.offset ?? 0) < readable) {
    throw formatError(format, 'the first section lies among the frames', readable);
  }
  return new ObjectTail(entries, format, cached);
}

async function readExactly(
  read: RangeReader,
  start: number,
  end: number,
  format: ArchiveFormat,
): Promise<Buffer> {
  const bytes = await read(start, end);
  if (bytes.length !== end - start) {
    const message = `${bytes.length} of ${end - start} bytes could be read`;
    throw formatError(format, message, start + bytes.length);
  }
  return bytes;
}
