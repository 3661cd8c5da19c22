import { CommandDecoder } from '@tidemark/aof';
import { segmentCommands, unpackSnapshot, type SegmentHeader } from '@tidemark/archive';
import { IntegrityError, type ByteSource } from '@tidemark/core';
import { RdbScanner } from '@tidemark/rdb';
import type { PlannedObject } from '../plan/restore-plan.ts';
import type { LoggedSegment, LoggedSnapshot } from './stored-objects.ts';

/** Segments that are looked back to for the beginning of a command. */
const LOOK_BACK_MAX = 4_096;

/** Gives the plain content of an object, authenticated; its digest is compared at the end. */
export type OpenContent = (object: PlannedObject) => Promise<ByteSource>;

/**
 * Reads a snapshot to its end: frames, structure and checksum of the RDB, and that it is the one
 * that the log describes.
 * @throws FormatError, IntegrityError.
 */
export async function verifySnapshotContent(
  { object, event }: LoggedSnapshot,
  open: OpenContent,
): Promise<void> {
  const { timeline, offset, rdbBytes, summary } = event;
  const scanner = new RdbScanner();
  for await (const part of unpackSnapshot(await open(object), { expect: { timeline, offset } })) {
    scanner.push(part);
  }
  const found = scanner.end();
  if (found.bytes === rdbBytes && found.keys === summary.keys) return;
  throw new IntegrityError('TM_SEAL_DIGEST', 'a snapshot holds another RDB than the log says', {
    context: { bytes: found.bytes, expected: rdbBytes, keys: found.keys },
  });
}

/**
 * Follows the command streams of one writer through its segments: each must unpack, decode, begin
 * where the log says, within the same transaction and command, and end so.
 */
export class StreamCheck {
  readonly #lanes = new Map<string, Lane>();
  readonly #open: OpenContent;

  constructor(open: OpenContent) {
    this.#open = open;
  }

  /** Notes a segment that is not read now: the next one may begin within a command of it. */
  pass(segment: LoggedSegment): void {
    this.#lane(segment.header).pass(segment);
  }

  /**
   * Reads a segment to its end.
   * @throws FormatError, IntegrityError, StoreError. What comes next is read all the same.
   */
  async verify(segment: LoggedSegment): Promise<void> {
    const { header, object, after } = segment;
    const lane = this.#lane(header);
    try {
      const decoder = await this.#decoderFor(lane, segment);
      let commands = 0;
      for await (const part of wholeSegment(await this.#open(object), header)) {
        commands += countCommands(decoder, part);
      }
      checkEnd(decoder, commands, { header, after });
      lane.decoder = decoder;
    } catch (cause) {
      lane.decoder = null;
      throw cause;
    } finally {
      lane.pass(segment);
    }
  }

  async #decoderFor(lane: Lane, { header }: LoggedSegment): Promise<CommandDecoder | null> {
    const { start, db, inMulti, partialBytes } = header;
    const known = lane.decoder;
    if (known !== null && known.offset === start) {
      checkState(known, header, 'begins');
      return known;
    }
    const offset = start - BigInt(partialBytes);
    const decoder = new CommandDecoder({ offset, db, inMulti, annotations: false });
    for (const before of lane.reaching(offset, start)) {
      const range = {
        from: before.header.start > offset ? before.header.start : offset,
        to: before.header.end,
      };
      const payload = await this.#open(before.object);
      for await (const part of segmentCommands(payload, before.header, range)) {
        countCommands(decoder, part);
      }
    }
    // Where the beginning of the command is damaged or gone, that is reported; this one is unpacked.
    return decoder.offset === start ? decoder : null;
  }

  #lane({ timeline, level = 0 }: SegmentHeader): Lane {
    const name = `${timeline}/${level}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane();
      this.#lanes.set(name, lane);
    }
    return lane;
  }
}

/** The segments of one timeline and level, in order. */
class Lane {
  /** Stands at the end of the last segment; null when that was not read, or is damaged. */
  decoder: CommandDecoder | null = null;
  #recent: LoggedSegment[] = [];

  pass(segment: LoggedSegment): void {
    const { start, partialBytes } = segment.header;
    const from = start - BigInt(partialBytes);
    this.#recent = this.#recent.filter(({ header }) => header.end > from);
    if (this.#recent.length < LOOK_BACK_MAX) this.#recent.push(segment);
    else this.#recent = [segment];
  }

  /** Those that hold bytes of `[from, to)`. */
  reaching(from: bigint, to: bigint): readonly LoggedSegment[] {
    return this.#recent.filter(({ header }) => header.end > from && header.start < to);
  }
}

/**
 * The command bytes of a segment; what follows its frames is read too, so that all of it is
 * authenticated and the digest compared.
 */
async function* wholeSegment(payload: ByteSource, header: SegmentHeader): ByteSource {
  const iterator = payload[Symbol.asyncIterator]();
  try {
    // Without a `return`, the reader of frames cannot end it early.
    const frames = { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
    yield* segmentCommands(frames, header);
    while ((await iterator.next()).done !== true);
  } finally {
    await iterator.return?.();
  }
}

function countCommands(decoder: CommandDecoder | null, part: Uint8Array): number {
  if (decoder === null) return 0;
  const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
  let commands = 0;
  for (const batch of decoder.push(bytes)) commands += batch.count;
  return commands;
}

function checkEnd(
  decoder: CommandDecoder | null,
  commands: number,
  { header, after }: Pick<LoggedSegment, 'header' | 'after'>,
): void {
  if (decoder === null) return;
  if (commands !== header.commands) {
    throw wrong('holds another number of commands', {
      commands,
      expected: header.commands,
    });
  }
  if (after !== null) checkState(decoder, after, 'ends');
}

function checkState(
  { db, inMulti, partialBytes, offset }: CommandDecoder,
  said: { readonly db: number; readonly inMulti: boolean; readonly partialBytes: number },
  where: 'begins' | 'ends',
): void {
  if (db === said.db && inMulti === said.inMulti && partialBytes === said.partialBytes) return;
  throw wrong(`${where} within another command, transaction or database`, {
    offset,
    db,
    inMulti,
    partialBytes,
  });
}

function wrong(what: string, context: Readonly<Record<string, number | bigint | boolean>>): Error {
  return new IntegrityError('TM_SEGMENT_FORMAT', `a segment ${what} than the log says`, {
    context,
  });
}
