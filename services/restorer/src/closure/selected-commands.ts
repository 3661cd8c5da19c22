import { CommandFilter, type CommandBatch } from '@tidemark/aof';
import { framesOfRange, segmentCommands, type SegmentFrame } from '@tidemark/archive';
import { nameObject, type ByteSource } from '@tidemark/core';
import { framesSource, openPlain } from '../fetch/footer-reader.ts';
import type { ObjectReader } from '../fetch/object-reader.ts';
import { readAhead } from '../feed/read-ahead.ts';
import type { WantedRange } from './choose-frames.ts';
import type { Closure, SelectedRead } from './closure.ts';
import { CommandChoice } from './command-choice.ts';

/** At most twice these bytes are held: one segment of the usual size may come on top. */
const READ_AHEAD = { items: 4, bytes: 8 * 1024 * 1024 };

/** How the needed commands of a log are read. */
export interface SelectedCommandsOptions {
  readonly closure: Closure;
  readonly reader: ObjectReader;
  /** Before the commands of a segment are read. */
  readonly onSegment?: (read: SelectedRead) => Promise<void>;
  /** Sees every command that is read, those that are left out among them. */
  readonly onRead?: (batch: CommandBatch) => void;
}

/** The needed commands of a log as a log of their own. */
export interface SelectedCommands {
  readonly source: ByteSource;
  /** Offset in the timeline of what stands at an offset of `source`. */
  readonly sourceOffset: (offset: bigint) => bigint;
}

/**
 * Reads what a closure names, and of that passes on what is needed: the same bytes every time.
 * @param range - Offsets of the plan, `to` exclusive.
 */
export function selectedCommands(
  range: { readonly from: bigint; readonly to: bigint },
  options: SelectedCommandsOptions,
): SelectedCommands {
  let insert: CommandFilter['insert'] = () => undefined;
  const choice = new CommandChoice(options.closure, range, (command) => {
    if (command.kind === 'flush') insert(command.db, 'FLUSHDB');
    else if (command.kind === 'flush-all') insert(null, 'FLUSHALL');
    else insert(null, 'SWAPDB', command.first.toString(), command.second.toString());
  });
  const filter = new CommandFilter(choice, options.onRead);
  insert = (db, ...words) => filter.insert(db, ...words);
  return {
    source: filtered(options, filter, choice),
    sourceOffset: (offset) => filter.offsets.sourceOf(Number(offset)) ?? range.from,
  };
}

async function* filtered(
  { closure, reader, onSegment }: SelectedCommandsOptions,
  filter: CommandFilter,
  choice: CommandChoice,
): ByteSource {
  const parts = [...partsOf(closure)];
  const ahead = readAhead(
    parts.map((part) => ({ bytes: bytesOf(part), read: () => readPart(part, reader) })),
    READ_AHEAD,
  );
  let at = 0;
  for await (const bytes of ahead) {
    const part = parts[at++];
    if (part === undefined) return;
    if (onSegment !== undefined) {
      // Who asks when a command ran is told from the marks around it: not from those that come now.
      yield* filter.writer.takeAll();
      await onSegment(part.read);
    }
    if (part.from === part.range.from) filter.begin({ offset: part.from, db: part.range.db });
    for await (const chunk of bytes) {
      filter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
      yield* filter.writer.take();
    }
  }
  filter.end();
  choice.end();
  yield* filter.writer.takeAll();
}

/** What of one range lies in one segment. */
interface Part {
  readonly range: WantedRange;
  readonly read: SelectedRead;
  readonly from: bigint;
  readonly to: bigint;
}

function* partsOf({ ranges, reads }: Closure): Generator<Part, void, undefined> {
  let first = 0;
  for (const range of ranges) {
    while (first < reads.length && (reads[first]?.to ?? 0n) <= range.from) first += 1;
    for (let at = first; at < reads.length; at += 1) {
      const read = reads[at];
      if (read === undefined || read.from >= range.to) break;
      const from = range.from > read.from ? range.from : read.from;
      const to = range.to < read.to ? range.to : read.to;
      yield { range, read, from, to };
    }
  }
}

function framesOf({ read, from, to }: Part): readonly SegmentFrame[] {
  return framesOfRange(read.frames ?? [], from, to);
}

function bytesOf(part: Part): number {
  if (part.read.frames === null) return part.read.object.ref.size;
  return framesOf(part).reduce((sum, { length }) => sum + length, 0);
}

async function* readPart(part: Part, reader: ObjectReader): ByteSource {
  const { read, from, to } = part;
  const { object, header } = read;
  if (read.frames === null) {
    try {
      yield* segmentCommands(reader.opened(object), header, { from, to });
    } catch (cause) {
      throw nameObject(cause, reader.nameOf(object));
    }
    return;
  }
  const keyOf = (): Promise<ReturnType<ObjectReader['dataKeyOf']>> =>
    Promise.resolve(reader.dataKeyOf(object));
  const opened = await openPlain(object, { reader, keyOf });
  yield* framesSource(opened, framesOf(part), { from, to });
}
