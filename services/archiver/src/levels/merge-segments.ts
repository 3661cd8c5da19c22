import { CommandDecoder } from '@tidemark/aof';
import { SegmentBuilder, type Mark, type SegmentHeader } from '@tidemark/archive';
import { TidemarkError, type ByteSource } from '@tidemark/core';
import { MERGED_BYTES_MAX } from './next-merge.ts';

/** The content of one segment that is merged. */
export interface MergeInput extends AsyncDisposable {
  readonly marks: readonly Mark[];
  /** Its command bytes from its start to its end. */
  readonly commands: ByteSource;
}

/** A merged segment before it is sealed. */
export interface MergedSegment {
  /** The plain content, in order. */
  readonly payload: readonly Buffer[];
  readonly header: SegmentHeader & { readonly level: number };
}

/**
 * Merges segments that follow each other and begin and end between two commands. Frames, key index,
 * flow section and counts are made anew from their commands, as if they had been captured in one.
 * @param open - Opens one segment; it is closed before the next one is opened.
 * @throws TidemarkError `TM_INTERNAL` when the result does not hold what they hold.
 */
export async function mergeSegments(
  level: number,
  headers: readonly SegmentHeader[],
  open: (header: SegmentHeader) => Promise<MergeInput>,
): Promise<MergedSegment> {
  const [first, last] = [headers[0], headers.at(-1)];
  if (first === undefined || last === undefined) throw different('nothing to merge', {});
  const { timeline, start, db, inMulti } = first;
  const decoder = new CommandDecoder({ offset: start, db, inMulti, annotations: false });
  const builder = new SegmentBuilder({
    ...{ timeline, start, db, inMulti, partialBytes: 0 },
    bytesMax: MERGED_BYTES_MAX,
    mergedLevel: level,
  });
  let commands = 0;
  for (const header of headers) {
    if (decoder.offset !== header.start) throw different('a gap', { offset: header.start });
    commands += header.commands;
    await using input = await open(header);
    for await (const part of input.commands) {
      const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
      for (const batch of decoder.push(bytes)) builder.addBatch(batch);
    }
    for (const mark of input.marks) builder.addMark(mark);
  }
  const { payload, header } = builder.finish();
  const same = header.end === last.end && header.commands === commands;
  if (!same || decoder.partialBytes > 0) {
    throw different('another content', { end: last.end, commands, actual: header.commands });
  }
  return { payload, header: { ...header, level } };
}

function different(what: string, context: Readonly<Record<string, bigint | number>>): Error {
  return new TidemarkError('TM_INTERNAL', `merging segments met ${what}`, { context });
}
