import { COMMANDS, CommandDecoder, type CommandBatch } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { nameObject, PlanError } from '@tidemark/core';
import type { Stretch } from './look-inside.ts';
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
 * @param within - From the snapshot to the end of the timeline: nothing starts there.
 * @throws PlanError `TM_OFFSET_NO_COMMAND` with the nearest offsets where one does.
 */
export async function expectCommandStart(
  offset: bigint,
  segments: readonly CatalogSegment[],
  within: Stretch,
  footers: FooterReaderOptions,
): Promise<void> {
  const starts = await startsAround(offset, segments, within, footers);
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
  { floor, end }: Stretch,
  footers: FooterReaderOptions,
): Promise<Starts> {
  const starts: Starts = { before: null, after: null };
  const first = segments.findLastIndex(
    (one) => one.start <= offset && (one.start <= floor || startsOnBoundary(one)),
  );
  const header = segments[first]?.header;
  if (header === undefined) return starts;
  const start = header.start < floor ? floor : header.start;
  const note = (at: bigint): void => {
    if (at >= end) return;
    if (at <= offset) starts.before = at;
    else starts.after ??= at;
  };
  note(start);
  const decoder = new CommandDecoder({ offset: start, db: header.db, annotations: false });
  for (const segment of segments.slice(first)) {
    await footers.keyOf(segment.object.dekId);
    const object = objectOfSegment(segment);
    try {
      const payload = footers.reader.opened(object);
      const from = segment.start < start ? start : segment.start;
      for await (const part of segmentCommands(payload, segment.header, { from })) {
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

function startsOnBoundary(segment: CatalogSegment): boolean {
  return !segment.header.inMulti && segment.header.partialBytes === 0;
}
