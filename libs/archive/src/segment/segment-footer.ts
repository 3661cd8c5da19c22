import { formatError } from '../frames/byte-reader.ts';
import { readObjectTail, type ObjectTail, type RangeReader } from '../frames/object-tail.ts';
import { type Mark } from '../marks/mark.ts';
import { decodeMarks, MARKS_BYTES_MAX } from '../marks/mark-codec.ts';
import { decodeFlow, FLOW_BYTES_MAX, type Flow } from './flow.ts';
import { decodeFrameIndex, FRAME_INDEX_BYTES_MAX, type SegmentFrame } from './frame-index.ts';
import { decodeHead, HEAD_BYTES_MAX, type SegmentHeader } from './header.ts';
import { KEY_FILTER_BYTES_MAX, KeyFilterReader } from './key-filter.ts';
import { KEY_INDEX_BYTES_MAX, KeyListReader } from './key-index.ts';
import { FilterIndex, ListIndex, NO_INDEX, type KeyIndex } from './key-lookup.ts';
import { SEGMENT_SECTION } from './section-types.ts';
import { decodeStats, STATS_BYTES_MAX, type CommandCounts } from './stats.ts';

/**
 * The footer of a segment. Each part is fetched and decoded when it is asked for; parts near the
 * end come with the first read. Every method throws `TM_SEGMENT_FORMAT` for a part that is damaged.
 */
export class SegmentFooter {
  readonly header: SegmentHeader;
  readonly #tail: ObjectTail;

  constructor(header: SegmentHeader, tail: ObjectTail) {
    this.header = header;
    this.#tail = tail;
  }

  /** Where each frame lies, and the state of the command stream there. */
  async frames(): Promise<readonly SegmentFrame[]> {
    const bytes = await this.#tail.section(SEGMENT_SECTION.frames, FRAME_INDEX_BYTES_MAX);
    return decodeFrameIndex(bytes, this.header, this.#tail.framesEnd);
  }

  /** In offset order; late marks of earlier offsets among them. */
  async marks(): Promise<readonly Mark[]> {
    const bytes = await this.#tail.section(SEGMENT_SECTION.marks, MARKS_BYTES_MAX);
    return decodeMarks(bytes, this.header.start);
  }

  /** Number of commands by name. */
  async stats(): Promise<CommandCounts> {
    return decodeStats(await this.#tail.section(SEGMENT_SECTION.stats, STATS_BYTES_MAX));
  }

  async keys(): Promise<KeyIndex> {
    const { indexKind, frames } = this.header;
    if (indexKind === 'none') return NO_INDEX;
    if (indexKind === 'filter') {
      const bytes = await this.#tail.section(SEGMENT_SECTION.filter, KEY_FILTER_BYTES_MAX);
      return new FilterIndex(new KeyFilterReader(bytes));
    }
    const bytes = await this.#tail.section(SEGMENT_SECTION.keys, KEY_INDEX_BYTES_MAX);
    return new ListIndex(new KeyListReader(bytes, Math.max(1, frames)));
  }

  async flow(): Promise<Flow> {
    const bytes = await this.#tail.section(SEGMENT_SECTION.flow, FLOW_BYTES_MAX);
    return decodeFlow(bytes, this.header.start);
  }
}

/**
 * Reads the footer of a segment, usually with one ranged read from the end.
 * @param read - Reads ranges of the plain content (`openRange` over a sealed object).
 * @param payloadSize - Bytes of the plain content.
 * @throws FormatError `TM_SEGMENT_FORMAT` with the offset of what does not fit.
 */
export async function readSegmentFooter(
  read: RangeReader,
  payloadSize: number,
): Promise<SegmentFooter> {
  const tail = await readObjectTail(read, payloadSize, 'segment');
  const header = decodeHead(await tail.section(SEGMENT_SECTION.head, HEAD_BYTES_MAX));
  const kinds = [SEGMENT_SECTION.keys, SEGMENT_SECTION.filter].filter((type) => tail.has(type));
  const expected = header.indexKind === 'none' ? [] : [SEGMENT_SECTION[header.indexKind]];
  if (kinds.length !== expected.length || kinds[0] !== expected[0]) {
    const message = `the head names index "${header.indexKind}", the sections are another`;
    throw formatError('segment', message, tail.framesEnd);
  }
  return new SegmentFooter(header, tail);
}
