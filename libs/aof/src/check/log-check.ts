import { type ErrorCode, FormatError } from '@tidemark/core';
import { SPEC_EXEC, SPEC_MULTI } from '../commands/command-table.ts';
import type { CommandBatch } from '../decoder/command-batch.ts';
import { CommandDecoder } from '../decoder/command-decoder.ts';

/** What is wrong with a command log. */
export interface LogFault {
  /** `torn`: it ends within a command or line; `open-multi`: MULTI without EXEC; `garbage`: else. */
  readonly kind: 'torn' | 'open-multi' | 'garbage';
  readonly code: ErrorCode;
  readonly message: string;
  /** Position in the file, in bytes. */
  readonly offset: number;
}

/** What a command log holds. Plain JSON. */
export interface AofLogFacts {
  /** Bytes of the log, from its first byte (not that of an RDB head) on. */
  readonly bytes: number;
  /** Bytes of whole commands, annotation lines not counted. */
  readonly commandBytes: number;
  readonly commands: number;
  /** Transactions that are whole. */
  readonly transactions: number;
  readonly annotations: {
    /** `#TS` lines. */
    readonly seconds: number;
    /** Lines of a kind that is not known; a server passes over them. */
    readonly unknown: number;
    /** Position in the file of the first of those. */
    readonly firstUnknownAt: number | null;
  };
  /** First and last second of the `#TS` lines, in file order. */
  readonly firstSecond: number | null;
  readonly lastSecond: number | null;
  /** How often a `#TS` line is earlier than the one before: a restart, or a clock put back. */
  readonly stepsBack: number;
  /** Position in the file up to which a server keeps the log. */
  readonly wholeTo: number;
  readonly fault: LogFault | null;
}

/** An annotation line of this push: `bytes` come to the stream offsets from `from` on. */
interface Shift {
  readonly from: number;
  readonly bytes: number;
  readonly second: number | null;
}

/**
 * Checks a command log: that it decodes to its end, that MULTI and EXEC pair up, and what its
 * annotations say. The first fault ends the check; everything before it is counted.
 *
 * Offsets are positions in the file: the decoder's, which leave annotation lines out, are moved.
 * @see redis src/redis-check-aof.c for what a server's own checker refuses
 */
export class AofLogCheck {
  readonly #decoder: CommandDecoder;
  readonly #origin: number;
  #bytes = 0;
  /** Stream offset of the end of the last whole command outside MULTI. */
  #boundary = 0;
  #commands = 0;
  /** Stream offset of the end of the last whole command. */
  #commandEnd = 0;
  #transactions = 0;
  #open = false;
  #seconds = 0;
  #unknown = 0;
  #firstUnknownAt: number | null = null;
  #firstSecond: number | null = null;
  #lastSecond: number | null = null;
  #stepsBack = 0;
  /** Bytes of annotation lines before this push. */
  #shifted = 0;
  #shifts: Shift[] = [];
  /** `#boundary` as a position in the file, behind the lines that follow it. */
  #wholeTo: number;
  #fault: LogFault | null = null;
  /** Stream offset of a fault that the decoder does not see. */
  #stoppedAt = Infinity;

  /** @param origin - Position in the file of the first byte: after the RDB head, if there is one. */
  constructor(origin = 0) {
    this.#origin = origin;
    this.#wholeTo = origin;
    this.#decoder = new CommandDecoder({
      onAnnotation: (offset, bytes, second) => {
        this.#shifts.push({ from: Number(offset), bytes, second });
      },
    });
  }

  /** Whether a fault was found: there is no use in pushing more. */
  get failed(): boolean {
    return this.#fault !== null;
  }

  /** Takes the next bytes. */
  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#fault !== null || chunk.length === 0) return;
    const [wasOpen, boundary] = [this.#open, this.#boundary];
    let error: unknown = null;
    try {
      for (const batch of this.#decoder.push(chunk)) this.#count(batch);
    } catch (cause) {
      for (const batch of this.#decoder.beforeFailure) this.#count(batch);
      error = cause;
    }
    // While a MULTI is open from an earlier push on, the place before it stays.
    if (!wasOpen) this.#wholeTo = this.#positionOf(this.#boundary);
    else if (this.#boundary > boundary) this.#wholeTo = this.#positionOf(this.#boundary);
    if (error !== null) this.#fail(error);
    this.#countLines();
    this.#shifted = this.#shiftAt(null);
    this.#shifts = [];
  }

  /** Says that no more bytes come. */
  end(): AofLogFacts {
    if (this.#fault === null) {
      try {
        this.#decoder.end();
        if (this.#open) {
          this.#stop('open-multi', 'the log ends before the EXEC of a MULTI', this.#wholeTo);
        }
      } catch (error) {
        this.#fail(error);
      }
    }
    return {
      bytes: this.#bytes,
      commandBytes: this.#commandEnd,
      commands: this.#commands,
      transactions: this.#transactions,
      annotations: {
        seconds: this.#seconds,
        unknown: this.#unknown,
        firstUnknownAt: this.#firstUnknownAt,
      },
      ...{ firstSecond: this.#firstSecond, lastSecond: this.#lastSecond },
      stepsBack: this.#stepsBack,
      wholeTo: this.#wholeTo,
      fault: this.#fault,
    };
  }

  #count(batch: CommandBatch): void {
    const { count, spec, base, start, end } = batch;
    const from = Number(base);
    for (let row = 0; row < count && this.#fault === null; row += 1) {
      const kind = spec[row] as number;
      if (kind === SPEC_MULTI || kind === SPEC_EXEC) {
        if ((kind === SPEC_MULTI) === this.#open) {
          const what = this.#open ? 'a MULTI inside a MULTI' : 'an EXEC without a MULTI';
          this.#stoppedAt = from + (start[row] as number);
          this.#stop('garbage', what, this.#positionOf(this.#stoppedAt));
          return;
        }
        if (kind === SPEC_EXEC) this.#transactions += 1;
        this.#open = kind === SPEC_MULTI;
      }
      this.#commands += 1;
      this.#commandEnd = from + (end[row] as number);
      if (!this.#open) this.#boundary = this.#commandEnd;
    }
  }

  /** Takes the lines of this push into account, up to the fault if there is one. */
  #countLines(): void {
    let at = this.#shifted;
    for (const { from, bytes, second } of this.#shifts) {
      if (from > this.#stoppedAt) return;
      if (second === null) {
        this.#unknown += 1;
        this.#firstUnknownAt ??= this.#origin + from + at;
      } else {
        this.#seconds += 1;
        this.#firstSecond ??= second;
        if (this.#lastSecond !== null && second < this.#lastSecond) this.#stepsBack += 1;
        this.#lastSecond = second;
      }
      at += bytes;
    }
  }

  /** Bytes of the lines before the command at a stream offset; `null` = of all so far. */
  #shiftAt(offset: number | null): number {
    let bytes = this.#shifted;
    for (const shift of this.#shifts) {
      if (offset !== null && shift.from > offset) break;
      bytes += shift.bytes;
    }
    return bytes;
  }

  #positionOf(offset: number): number {
    return (
      this.#origin + offset + (this.#shifts.length === 0 ? this.#shifted : this.#shiftAt(offset))
    );
  }

  #fail(error: unknown): void {
    if (!(error instanceof FormatError)) throw error;
    // The check of MULTI and EXEC came first: its fault stands before this one.
    if (this.#fault !== null) return;
    const { code, message, context } = error;
    const offset = this.#positionOf(Number(context['offset']));
    this.#fault = { kind: code === 'TM_AOF_TRUNCATED' ? 'torn' : 'garbage', code, message, offset };
  }

  #stop(kind: LogFault['kind'], message: string, offset: number): void {
    const code = kind === 'open-multi' ? 'TM_AOF_TRUNCATED' : 'TM_AOF_PROTOCOL';
    this.#fault = { kind, code, message, offset };
  }
}
