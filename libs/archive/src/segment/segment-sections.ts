import { packSection, SectionWriter, type PackedSection } from '../frames/sections.ts';
import { type FramePacker } from '../frames/zstd.ts';
import { type Mark } from '../marks/mark.ts';
import { encodeMarks } from '../marks/mark-codec.ts';
import { encodeFrameIndex, type FrameLengths, type FrameState } from './frame-index.ts';
import { encodeHead, type SegmentHeader } from './header.ts';
import { type KeyCollector } from './key-collector.ts';
import { encodeKeyFilter } from './key-filter.ts';
import { encodeKeyIndex } from './key-index.ts';
import { SEGMENT_SECTION } from './section-types.ts';
import { encodeStats, type CommandCounts } from './stats.ts';

/** A list of keys may be this share of the packed data; above it becomes a filter. */
const LIST_SHARE_MAX = 0.15;

/** And this many bytes in any case: below it a filter would save nothing worth having. */
const LIST_BYTES_FREE = 256;

/** zstd makes a list of keys hardly ever smaller than this part of it. */
const LIST_PACKING_MAX = 8;

/** Everything that a footer is made of. */
export interface SectionParts {
  readonly packer: FramePacker;
  readonly lengths: readonly FrameLengths[];
  readonly states: readonly FrameState[];
  readonly marks: readonly Mark[];
  readonly counts: CommandCounts;
  readonly keys: KeyCollector;
  readonly flow: Buffer;
  readonly exact: boolean;
  readonly header: Omit<SegmentHeader, 'indexKind'>;
}

/** Writes the sections of a segment, choosing the kind of its key index. */
export function writeSections(parts: SectionParts): { tail: Buffer[]; header: SegmentHeader } {
  const { packer } = parts;
  const packedBytes = parts.lengths.reduce((sum, frame) => sum + frame.length, 0);
  const index = packIndex(parts, packedBytes);
  const header: SegmentHeader = { ...parts.header, indexKind: index.kind };
  const writer = new SectionWriter('segment', packer, packedBytes);
  writer.add(SEGMENT_SECTION.head, encodeHead(header));
  writer.add(SEGMENT_SECTION.frames, encodeFrameIndex(parts.lengths, parts.states));
  writer.add(SEGMENT_SECTION.marks, encodeMarks(parts.marks, header.start));
  writer.add(SEGMENT_SECTION.stats, encodeStats(parts.counts));
  if (index.kind !== 'none') writer.addPacked(SEGMENT_SECTION[index.kind], index.section);
  writer.add(SEGMENT_SECTION.flow, parts.flow);
  return { tail: writer.finish(), header };
}

type PackedIndex =
  { readonly kind: 'none' } | { readonly kind: 'keys' | 'filter'; readonly section: PackedSection };

function packIndex(parts: SectionParts, packedBytes: number): PackedIndex {
  const { packer, keys, lengths, exact } = parts;
  const collected = keys.collected();
  if (collected.kind === 'keys') {
    const bytesMax = exact ? Infinity : Math.max(LIST_BYTES_FREE, packedBytes * LIST_SHARE_MAX);
    const list = encodeKeyIndex(collected.table, lengths.length, bytesMax * LIST_PACKING_MAX);
    const section = list === null ? null : packSection(packer, list);
    if (section !== null && section.length <= bytesMax) return { kind: 'keys', section };
  }
  const hashes = keys.hashes();
  if (hashes === null) return { kind: 'none' };
  const section = packSection(packer, encodeKeyFilter(hashes, keys.seeds));
  return { kind: 'filter', section };
}
