import { FormatError, TidemarkError, UsageError } from '@tidemark/core';
import { ANNOTATION_BYTES_MAX, AnnotationLine } from '../annotations/annotation-line.ts';
import type { AnnotationMark, CommandBatch, UnfinishedCommand } from './command-batch.ts';
import { CommandColumns } from './command-columns.ts';
import { CHUNK_BYTES_MAX, DEFAULT_LIMITS, type DecoderLimits } from './limits.ts';
import { scanCommands } from './scan-commands.ts';
import { SpanningCommand } from './spanning-command.ts';
import { StreamState } from './stream-state.ts';

const HASH = 0x23;

/** Where a decoder starts and what it accepts. */
export interface CommandDecoderOptions extends Partial<DecoderLimits> {
  /** Stream offset of the first byte, at the start of a command. Default 0. */
  readonly offset?: bigint;
  /** Selected database there. Default 0. */
  readonly db?: number;
  /** Whether MULTI is open there. Default false. */
  readonly inMulti?: boolean;
  /** Whether `#` lines may stand between commands. Default true; else they are an error. */
  readonly annotations?: boolean;
  /** Told of every whole annotation line, of whatever kind. */
  readonly onAnnotation?: AnnotationListener;
}

/**
 * @param offset - Stream offset of the command that follows the line.
 * @param bytes - Length of the line.
 * @param second - Unix time of a `#TS` line, null for another kind.
 */
export type AnnotationListener = (offset: bigint, bytes: number, second: number | null) => void;

/** What the decoder is within: between two commands, a command, or an annotation line. */
const WITHIN = { nothing: 0, command: 1, annotation: 2 } as const;
type Within = (typeof WITHIN)[keyof typeof WITHIN];

/**
 * Decodes a command log (or replication stream) as it comes, in chunks of any size, into columns.
 *
 *     log        = *( annotation | command )
 *     annotation = "#" *byte LF                      at most 1024 bytes, not counted in offsets
 *     command    = "*" count CR LF 1*argument
 *     argument   = "$" length CR LF *byte CR LF
 *
 * It starts between two commands. Where a piece of a log starts within a command (a segment with
 * `partialBytes` above 0), feed it the last `partialBytes` bytes of the piece before it first, with
 * `offset` set to where those start. Commands inside one chunk are not copied and nothing is
 * allocated for a command; a command that spans chunks is put together in a scratch buffer, its
 * large arguments left out (`argStart` -1) when it is over 1 MiB. Memory is bounded by the chunk
 * size and the limits, not by a claimed length.
 *
 * After a throw the decoder is of no use: every later call throws the same error. Commands of that
 * push before the bad byte are not delivered; `commandEnd` is the end of what was.
 * @see redis src/aof.c, loadSingleAppendOnlyFile; docs/formats/aof-reading.md
 */
export class CommandDecoder {
  private readonly limits: DecoderLimits;
  private readonly annotations: boolean;
  private readonly onAnnotation: AnnotationListener | undefined;
  private readonly columns = new CommandColumns();
  private readonly line = new AnnotationLine();
  private readonly state: StreamState;
  private command: SpanningCommand;
  /** Takes turns with `command`: a batch may still show the one while the other fills. */
  private spare: SpanningCommand;
  private within: Within = WITHIN.nothing;
  private failure: TidemarkError | null = null;
  private batchesBeforeFailure: readonly CommandBatch[] = [];
  private streamOffset: bigint;
  private lastEnd: bigint;
  private lastBoundary: bigint;

  constructor(options: CommandDecoderOptions = {}) {
    this.limits = {
      bulkBytesMax: options.bulkBytesMax ?? DEFAULT_LIMITS.bulkBytesMax,
      argumentsMax: options.argumentsMax ?? DEFAULT_LIMITS.argumentsMax,
    };
    this.annotations = options.annotations ?? true;
    this.onAnnotation = options.onAnnotation;
    this.state = new StreamState(options.db ?? 0, options.inMulti ?? false);
    this.command = new SpanningCommand(this.limits);
    this.spare = new SpanningCommand(this.limits);
    this.streamOffset = options.offset ?? 0n;
    this.lastEnd = this.streamOffset;
    this.lastBoundary = this.streamOffset;
  }

  /** Stream offset after the last byte taken; annotations do not count. */
  get offset(): bigint {
    return this.streamOffset;
  }

  /** End of the last whole command outside MULTI: here the log may be cut. */
  get boundary(): bigint {
    return this.lastBoundary;
  }

  /** End of the last whole command. */
  get commandEnd(): bigint {
    return this.lastEnd;
  }

  /** Database that the next command runs in. */
  get db(): number {
    return this.state.db;
  }

  /** Whether MULTI is open after the last whole command. */
  get inMulti(): boolean {
    return this.state.inMulti;
  }

  /** Bytes of the unfinished command that were taken. */
  get partialBytes(): number {
    return this.within === WITHIN.command ? this.command.bytes : 0;
  }

  /** The unfinished command, as far as it is known; valid until the next `push`. */
  get unfinished(): UnfinishedCommand | null {
    return this.within === WITHIN.command ? this.command : null;
  }

  /** After a throw of `push`: the commands that ended in that push before the bad byte. */
  get beforeFailure(): readonly CommandBatch[] {
    return this.batchesBeforeFailure;
  }

  /**
   * Takes the next bytes.
   * @param chunk - Bytes that stay as they are while the batches are in use; at most 1 GiB.
   * @returns One or two batches, in order, valid until the next call. The last one carries
   *   `pieces` and `marks`; its `count` may be 0.
   * @throws FormatError `TM_AOF_PROTOCOL` (bytes that are no command log), `TM_AOF_LIMIT` (a count,
   *   a length or an annotation over its limit), both with the stream offset in `context.offset`.
   */
  push(chunk: Buffer): readonly CommandBatch[] {
    if (this.failure !== null) throw this.failure;
    if (chunk.length > CHUNK_BYTES_MAX) {
      throw new UsageError('TM_LIMIT', `chunk of ${chunk.length} exceeds ${CHUNK_BYTES_MAX} bytes`);
    }
    try {
      return this.decode(chunk);
    } catch (error) {
      if (error instanceof TidemarkError) this.failure = error;
      throw error;
    }
  }

  /**
   * Says that no more bytes follow.
   * @throws FormatError `TM_AOF_TRUNCATED` within a command or an annotation line; `offset` is the
   *   end of the last whole command. An open MULTI is not an error here.
   */
  end(): void {
    if (this.failure !== null) throw this.failure;
    if (this.within === WITHIN.nothing) return;
    const what = this.within === WITHIN.command ? 'command' : 'annotation';
    const bytes = this.within === WITHIN.command ? this.command.bytes : this.line.length;
    throw new FormatError('TM_AOF_TRUNCATED', `the log ends within a ${what}`, {
      context: { offset: this.lastEnd, partialBytes: bytes, within: what },
    });
  }

  private decode(chunk: Buffer): readonly CommandBatch[] {
    const base = this.lastEnd;
    const { columns } = this;
    columns.count = 0;
    columns.argumentCount = 0;
    this.state.boundary = -1;
    const pieces: Buffer[] = [];
    const marks: AnnotationMark[] = [];
    let spanning: CommandBatch | null = null;
    // A position plus `shift` is an offset relative to `base`.
    const partialBefore = this.partialBytes;
    let shift = partialBefore;
    let pieceAt = 0;
    let pos = 0;
    try {
      while (pos < chunk.length) {
        if (this.within === WITHIN.annotation) {
          const next = this.takeAnnotation(chunk, pos, base + BigInt(pos + shift), marks);
          shift -= next - pos;
          pos = next;
          pieceAt = next;
        } else if (this.within === WITHIN.command) {
          pos = this.command.take(chunk, pos, chunk.length);
          if (this.command.done) spanning = this.endSpanning(base, partialBefore);
        } else {
          const range = { data: chunk, from: pos, end: chunk.length, shift, limits: this.limits };
          pos = scanCommands(range, columns, this.state);
          if (pos === chunk.length) break;
          const annotation = this.beginElement(chunk, pos, base + BigInt(pos + shift));
          if (annotation && pieceAt < pos) pieces.push(chunk.subarray(pieceAt, pos));
        }
      }
    } catch (error) {
      this.batchesBeforeFailure = this.batches(chunk, base, spanning, { pieces, marks });
      throw error;
    }
    if (pieceAt < pos) pieces.push(pieceAt === 0 ? chunk : chunk.subarray(pieceAt));
    this.advance(base, pos + shift, spanning);
    return this.batches(chunk, base, spanning, { pieces, marks });
  }

  private advance(base: bigint, bytes: number, spanning: CommandBatch | null): void {
    const { columns, state } = this;
    this.streamOffset = base + BigInt(bytes);
    const end = columns.count > 0 ? columns.end[columns.count - 1] : spanning?.end[0];
    if (end !== undefined) this.lastEnd = base + BigInt(end);
    if (state.boundary >= 0) this.lastBoundary = base + BigInt(state.boundary);
  }

  private batches(
    chunk: Buffer,
    base: bigint,
    spanning: CommandBatch | null,
    rest: Pick<CommandBatch, 'pieces' | 'marks'>,
  ): readonly CommandBatch[] {
    const { columns } = this;
    if (spanning !== null && columns.count === 0) return [{ ...spanning, ...rest }];
    const { count, start, end, spec, db, inMulti, argc, argAt, argStart, argEnd } = columns;
    const main: CommandBatch = {
      count,
      data: chunk,
      base,
      start,
      end,
      spec,
      db,
      inMulti,
      argc,
      argAt,
      argStart,
      argEnd,
      spanning: null,
      ...rest,
    };
    return spanning === null ? [main] : [spanning, main];
  }

  /** The command that came in pieces is whole: it is the first of this push and starts at `base`. */
  private endSpanning(base: bigint, partialBefore: number): CommandBatch {
    const { command, state } = this;
    if (partialBefore === 0) {
      // What `scanCommands` leaves inside a chunk is either cut off by its end or wrong.
      throw new FormatError('TM_INTERNAL', 'a whole command was left behind by the scanner', {
        context: { offset: base, bytes: command.bytes },
      });
    }
    this.within = WITHIN.nothing;
    this.command = this.spare;
    this.spare = command;
    const { spec, argc, argStart, argEnd, data } = command;
    const has = argc === 2;
    const start = has ? (argStart[1] as number) : -1;
    const inMulti = state.apply(spec, data, start, has ? (argEnd[1] as number) : -1);
    if (!state.inMulti) state.boundary = command.bytes;
    return {
      count: 1,
      data,
      base,
      start: Float64Array.of(0),
      end: Float64Array.of(command.bytes),
      spec: Uint16Array.of(spec),
      db: Int32Array.of(state.db),
      inMulti: Uint8Array.of(inMulti ? 1 : 0),
      argc: Uint32Array.of(argc),
      argAt: Uint32Array.of(0),
      argStart,
      argEnd,
      pieces: [],
      marks: [],
      spanning: command,
    };
  }

  /** Enters what starts at `pos`; true for an annotation. */
  private beginElement(chunk: Buffer, pos: number, offset: bigint): boolean {
    const annotation = this.annotations && chunk[pos] === HASH;
    if (annotation) this.line.begin();
    else this.command.begin(offset);
    this.within = annotation ? WITHIN.annotation : WITHIN.command;
    return annotation;
  }

  private takeAnnotation(
    chunk: Buffer,
    from: number,
    offset: bigint,
    marks: AnnotationMark[],
  ): number {
    const next = this.line.take(chunk, from, chunk.length);
    if (next < 0) {
      throw new FormatError('TM_AOF_LIMIT', `annotation exceeds ${ANNOTATION_BYTES_MAX} bytes`, {
        context: { offset, max: ANNOTATION_BYTES_MAX },
      });
    }
    if (this.line.complete) {
      this.within = WITHIN.nothing;
      const { second } = this.line;
      if (second !== null) marks.push({ offset, second });
      this.onAnnotation?.(offset, this.line.length, second);
    }
    return next;
  }
}
