import { COMMANDS, CommandDecoder, type CommandBatch } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { nameObject, PlanError } from '@tidemark/core';
import { objectOfSegment, type FooterReaderOptions } from './read-marks.ts';

/** The nearest places around an offset where a command or a transaction starts; null = none. */
interface Starts {
  /** At or before the offset. */
  before: bigint | null;
  /** After it. */
  after: bigint | null;
}

/**
 * Sees to it that a command outside a transaction, or a transaction, starts at an offset.
 * @param segments - The segments of the timeline from the snapshot on, in order.
 * @param end - Where the timeline ends: nothing starts there.
 * @throws PlanError `TM_OFFSET_NO_COMMAND` with the nearest offsets where one does.
 */
export async function expectCommandStart(
  offset: bigint,
  segments: readonly CatalogSegment[],
  end: bigint,
  footers: FooterReaderOptions,
): Promise<void> {
  const starts = await startsAround(offset, segments, end, footers);
  if (starts.before === offset) return;
  const { before, after } = starts;
  const nearest = [before, after].filter((at) => at !== null).map(String);
  throw new PlanError(
    'TM_OFFSET_NO_COMMAND',
    `no command or transaction starts at offset ${offset.toString()}`,
    {
      context: { offset, nearestBefore: before, nearestAfter: after },
      hint:
        nearest.length === 0
          ? 'nothing was written to this timeline'
          : `the nearest start at ${nearest.join(' and ')}; --offset N takes any offset`,
    },
  );
}

async function startsAround(
  offset: bigint,
  segments: readonly CatalogSegment[],
  end: bigint,
  footers: FooterReaderOptions,
): Promise<Starts> {
  const starts: Starts = { before: null, after: null };
  let first = segments.findLastIndex(({ start }) => start <= offset);
  while (first > 0 && !startsOnBoundary(segments[first])) first -= 1;
  const from = segments[first];
  if (from === undefined || !startsOnBoundary(from)) return starts;
  const { start, db } = from.header;
  const note = (at: bigint): void => {
    if (at >= end) return;
    if (at <= offset) starts.before = at;
    else starts.after ??= at;
  };
  note(start);
  const decoder = new CommandDecoder({ offset: start, db, annotations: false });
  for (const segment of segments.slice(first)) {
    await footers.keyOf(segment.object.dekId);
    const object = objectOfSegment(segment);
    try {
      const payload = footers.reader.opened(object);
      for await (const part of segmentCommands(payload, segment.header)) {
        const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
        for (const batch of decoder.push(bytes)) noteEnds(batch, note);
        if (starts.after !== null) return starts;
      }
    } catch (cause) {
      throw nameObject(cause, footers.reader.nameOf(object));
    }
  }
  return starts;
}

/** Where one command outside a transaction ends, the next one starts. */
function noteEnds(batch: CommandBatch, note: (at: bigint) => void): void {
  for (let i = 0; i < batch.count; i++) {
    const isExec = COMMANDS[batch.spec[i] as number]?.name === 'exec';
    if (batch.inMulti[i] === 0 || isExec) note(batch.base + BigInt(batch.end[i] as number));
  }
}

function startsOnBoundary(segment: CatalogSegment | undefined): boolean {
  return segment !== undefined && !segment.header.inMulti && segment.header.partialBytes === 0;
}
