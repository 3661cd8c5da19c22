import type { ArgumentColumns } from '../../decoder/command-batch.ts';
import { argumentInteger, argumentIs } from '../arguments.ts';
import {
  encodeArgument,
  encodeCount,
  rawFrom,
  rawTo,
  type RawCommand,
} from '../raw/raw-command.ts';

/** Longer arguments are no option and no number. */
const TEXT_BYTES_MAX = 64;

/** A part of a new command: an argument of its own, or arguments `[from, to)` of the old one. */
export type Part = string | Buffer | readonly [from: number, to: number];

/** Where a command that is looked at stands. */
export interface CommandPlace {
  readonly columns: ArgumentColumns;
  /** Row of its first argument in the columns. */
  readonly at: number;
  /** Arguments that are known; all of them unless the command is not whole yet. */
  readonly argc: number;
  /** Stream offset of its first byte. */
  readonly offset: () => bigint;
  /** Its raw bytes; asked for only when it has to change. */
  readonly raw: () => RawCommand;
}

/** A rule asked for an argument that the command has not: it is not well formed. */
export class MissingArgument extends Error {}

/** One command as a rule sees it. Valid until the next one is looked at. */
export class CommandView {
  readonly argc: number;
  private readonly place: CommandPlace;

  constructor(place: CommandPlace) {
    this.place = place;
    this.argc = place.argc;
  }

  /** Stream offset of its first byte. */
  get offset(): bigint {
    return this.place.offset();
  }

  /** Whether argument `index` is the word (from `keyword`), in any case of letters. */
  is(index: number, word: Uint8Array): boolean {
    return index < this.argc && argumentIs(this.place.columns, this.place.at + index, word);
  }

  /** The integer in argument `index`, or NaN. */
  integer(index: number): number {
    return index < this.argc
      ? argumentInteger(this.place.columns, this.place.at + index)
      : Number.NaN;
  }

  /** A short argument in lower case; empty when it is long or there is none. */
  text(index: number): string {
    if (index >= this.argc) return '';
    const { columns, at } = this.place;
    const start = columns.argStart[at + index] as number;
    const end = columns.argEnd[at + index] as number;
    if (start < 0 || end - start > TEXT_BYTES_MAX) return '';
    return columns.data.toString('latin1', start, end).toLowerCase();
  }

  /** The bytes of argument `index`, however long. */
  content(index: number): Buffer {
    if (index >= this.argc) throw new MissingArgument();
    const { columns, at } = this.place;
    const start = columns.argStart[at + index] as number;
    if (start >= 0) return columns.data.subarray(start, columns.argEnd[at + index]);
    // Left out of the columns for its length: it stands in the raw bytes after its length line.
    const raw = this.place.raw();
    const bytes = raw.slice(rawFrom(raw, index), rawTo(raw, index));
    return bytes.subarray(bytes.indexOf('\n') + 1, -2);
  }

  /** A new command, made of words and of arguments of this one. */
  build(...parts: readonly Part[]): Buffer {
    const raw = this.place.raw();
    let argc = 0;
    const encoded: Buffer[] = [];
    for (const part of parts) {
      if (typeof part === 'string' || Buffer.isBuffer(part)) {
        argc += 1;
        encoded.push(encodeArgument(part));
      } else if (part[1] > this.argc) {
        throw new MissingArgument();
      } else if (part[0] < part[1]) {
        argc += part[1] - part[0];
        encoded.push(raw.slice(rawFrom(raw, part[0]), rawTo(raw, part[1] - 1)));
      }
    }
    return Buffer.concat([encodeCount(argc), ...encoded]);
  }

  /** This command without some of its arguments: those whose index is in `left`. */
  without(left: ReadonlySet<number>): Buffer {
    const parts: Part[] = [];
    let from = 0;
    for (let index = 0; index <= this.argc; index += 1) {
      if (index < this.argc && !left.has(index)) continue;
      parts.push([from, index]);
      from = index + 1;
    }
    return this.build(...parts);
  }
}
