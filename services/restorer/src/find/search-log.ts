import { CommandDecoder, SPEC_MULTI, type CommandBatch } from '@tidemark/aof';
import type { FlowEntry, Mark } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { nameObject } from '@tidemark/core';
import { chooseFrames, type WantedCommands } from './choose-frames.ts';
import { rangesOfFrames, type CommandRange } from './command-ranges.ts';
import { CommandTimes } from './command-times.ts';
import type { FoundPlace, SearchTotals, SecondWindow } from './found-command.ts';
import { orderedAhead } from './ordered-ahead.ts';
import { SegmentAccess, type SearchEnvironment } from './segment-access.ts';
import { segmentsWithin } from './segments-within.ts';

/** Footers that are read at once. */
const FOOTERS_AHEAD = 8;

/** Up to so many raw bytes of a segment are fetched ahead together with its footer. */
const COMMANDS_AHEAD_BYTES = 2 * 1024 * 1024;

const NO_ROWS = new Float64Array(0);

/** What is searched, and when. */
export interface LogSearch {
  readonly instance: string;
  readonly window: SecondWindow;
  readonly wanted: WantedCommands;
}

/** What a search comes upon, in order of timeline and offset. */
export type LogItem =
  /** Commands of a segment in which a wanted one may be; the batch is valid until the next item. */
  | { readonly kind: 'commands'; readonly batch: CommandBatch; readonly places: CommandPlaces }
  /** Commands that may have changed anything, told by a footer. */
  | {
      readonly kind: 'unknown';
      readonly entries: readonly FlowEntry[];
      readonly places: CommandPlaces;
    };

/** Where the commands of one item stand, and when they ran. */
export interface CommandPlaces {
  readonly segment: CatalogSegment;
  readonly times: CommandTimes;
  /** For each command of a batch what `--before` takes, counted from `batch.base`; else empty. */
  readonly before: Float64Array;
  /** Whether commands that may have changed anything are told by an item of their own. */
  readonly unknownTold: boolean;
}

/** A search through the logs of an instance; it can be run once. */
export class LogSearcher {
  readonly #search: LogSearch;
  readonly #environment: SearchEnvironment;
  readonly #counts = { logBytes: 0, segments: 0, segmentsRead: 0 };
  #access: SegmentAccess | null = null;

  constructor(search: LogSearch, environment: SearchEnvironment) {
    this.#search = search;
    this.#environment = environment;
  }

  get totals(): SearchTotals {
    return { ...this.#counts, readBytes: this.#access?.bytesRead.bytes ?? 0 };
  }

  /**
   * Reads footers some ahead, and of each segment only the frames that can hold a wanted command.
   * Commands are given that end in the segments of the window.
   * @throws UsageError `TM_NOT_FOUND`; IntegrityError, FormatError, StoreError with the object.
   */
  async *items(): AsyncGenerator<LogItem, void, undefined> {
    const { catalog, signal } = this.#environment;
    const { instance } = this.#search;
    using access = await SegmentAccess.open(instance, this.#environment);
    this.#access = access;
    for (const timeline of catalog.timelines(instance)) {
      const segments = segmentsWithin(catalog, timeline, this.#search.window);
      const looked = orderedAhead(segments, FOOTERS_AHEAD, (one) => this.#look(one, access));
      for await (const found of looked) {
        signal.throwIfAborted();
        if (found !== null) yield* this.#read(found, access);
      }
    }
  }

  /** What the footer says; null when nothing of the segment is needed. */
  async #look(segment: CatalogSegment, access: SegmentAccess): Promise<LookedAt | null> {
    this.#environment.signal.throwIfAborted();
    this.#counts.segments += 1;
    this.#counts.logBytes += segment.object.size;
    try {
      const opened = await access.footer(segment);
      const choice = await chooseFrames(opened.footer, this.#search.wanted);
      const unknown = choice.unknown ?? [];
      if (choice.chosen.length + unknown.length === 0) return null;
      const { catalog } = this.#environment;
      const frames = (one: CatalogSegment): ReturnType<SegmentAccess['frames']> =>
        access.frames(one);
      const ranges = await rangesOfFrames(segment, choice, { catalog, frames });
      const marks = await opened.footer.marks();
      const found = {
        segment,
        ranges,
        marks,
        unknown,
        unknownTold: choice.unknown !== null,
      };
      const bytes = ranges.reduce((sum, { from, to }) => sum + Number(to - from), 0);
      if (bytes > COMMANDS_AHEAD_BYTES) return { ...found, ahead: null };
      const ahead = await Promise.all(
        ranges.map((range) => gather(access, segment.timeline, range)),
      );
      return { ...found, ahead };
    } catch (cause) {
      throw nameObject(cause, segment.object.readKey);
    }
  }

  async *#read(found: LookedAt, access: SegmentAccess): AsyncGenerator<LogItem, void, undefined> {
    const { segment, ranges, marks, unknown, ahead } = found;
    const { catalog } = this.#environment;
    const source = { catalog, marks: (one: CatalogSegment) => access.marks(one) };
    const times = new CommandTimes(segment, marks, source);
    const told = { segment, times, unknownTold: found.unknownTold };
    const [first, last] = [unknown[0], unknown.at(-1)];
    if (first !== undefined && last !== undefined) {
      await times.cover(first.offset, last.offset);
      yield { kind: 'unknown', entries: unknown, places: { ...told, before: NO_ROWS } };
    }
    if (ranges.length > 0) this.#counts.segmentsRead += 1;
    for (const [index, range] of ranges.entries()) {
      const parts = ahead?.[index] ?? access.commands(segment.timeline, range.from, range.to);
      try {
        for await (const { batch, before } of decoded(parts, range)) {
          await times.cover(batch.base, batch.base + BigInt(batch.end[batch.count - 1] ?? 0));
          yield { kind: 'commands', batch, places: { ...told, before } };
        }
      } catch (cause) {
        throw nameObject(cause, segment.object.readKey);
      }
    }
  }
}

interface LookedAt {
  readonly segment: CatalogSegment;
  readonly ranges: readonly CommandRange[];
  readonly marks: readonly Mark[];
  readonly unknown: readonly FlowEntry[];
  readonly unknownTold: boolean;
  /** The commands of each range where they are few; else they are fetched when their turn comes. */
  readonly ahead: readonly (readonly Uint8Array[])[] | null;
}

async function gather(
  access: SegmentAccess,
  timeline: string,
  { from, to }: CommandRange,
): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const part of access.commands(timeline, from, to)) parts.push(part);
  return parts;
}

/** The commands of a range, each with where its transaction starts. */
async function* decoded(
  parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { from, db }: CommandRange,
): AsyncGenerator<{ readonly batch: CommandBatch; readonly before: Float64Array }> {
  const decoder = new CommandDecoder({ offset: from, db, annotations: false });
  // Stays the start of the transaction until a command follows that is in none.
  let multi = from;
  for await (const part of parts) {
    const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
    for (const batch of decoder.push(bytes)) {
      if (batch.count === 0) continue;
      const before = new Float64Array(batch.count);
      let multiAt = Number(multi - batch.base);
      for (let row = 0; row < batch.count; row++) {
        const start = batch.start[row] as number;
        if (batch.inMulti[row] === 0 || batch.spec[row] === SPEC_MULTI) multiAt = start;
        before[row] = multiAt;
      }
      multi = batch.base + BigInt(multiAt);
      yield { batch, before };
    }
  }
}

/** Where command `row` of a batch stands. */
export function placeOf(
  batch: CommandBatch,
  row: number,
  { segment, times, before }: CommandPlaces,
  command: string,
): FoundPlace {
  const offset = batch.base + BigInt(batch.start[row] as number);
  return {
    timeline: segment.timeline,
    offset,
    before: batch.base + BigInt(before[row] as number),
    ...times.at(offset),
    command,
    argumentCount: Math.max(0, (batch.argc[row] as number) - 1),
    bytes: (batch.end[row] as number) - (batch.start[row] as number),
  };
}

/** Whether command `row` of a batch ends in the segment that it is looked for in. */
export function endsWithin(batch: CommandBatch, row: number, { segment }: CommandPlaces): boolean {
  const end = batch.base + BigInt(batch.end[row] as number);
  return end > segment.start && end <= segment.end;
}
