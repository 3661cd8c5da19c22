import { FormatError } from '@tidemark/core';
import { SPEC_UNKNOWN } from '../commands/command-table.ts';
import { findCommand } from '../commands/find-command.ts';
import type { UnfinishedCommand } from './command-batch.ts';
import { grown } from './command-columns.ts';
import {
  DIGITS_MAX,
  KEPT_ARGUMENT_BYTES_MAX,
  KEPT_BYTES_MAX,
  SPANNING_WHOLE_BYTES_MAX,
  type DecoderLimits,
} from './limits.ts';

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const ROWS_FIRST = 64;
const SCRATCH_FIRST = 4096;
const ELIDED = -1;

/** What the next byte must be. */
const EXPECT = {
  star: 0,
  count: 1,
  countLf: 2,
  dollar: 3,
  length: 4,
  lengthLf: 5,
  content: 6,
  contentCr: 7,
  contentLf: 8,
  nothing: 9,
} as const;
type Expect = (typeof EXPECT)[keyof typeof EXPECT];

/**
 * One command that comes in pieces, read byte by byte (contents are skipped by length).
 *
 * Arguments are copied into a scratch buffer: all of them while they are at most 1 MiB together;
 * above that only those up to 64 KiB, 16 MiB in all, the others are elided. Memory follows the
 * bytes that came, not the lengths they claim.
 *
 * Modes: after `begin` it takes bytes; `done` is true after the last LF; a throw ends its use.
 */
export class SpanningCommand implements UnfinishedCommand {
  /** Raw bytes taken. */
  bytes = 0;
  argc = 0;
  complete = 0;
  spec = SPEC_UNKNOWN;
  headerBytes = 0;
  data: Buffer = Buffer.alloc(SCRATCH_FIRST);
  argStart = new Int32Array(ROWS_FIRST);
  argEnd = new Int32Array(ROWS_FIRST);
  /** Row `complete` is filled in as soon as the length of that argument is known. */
  rawStart = new Float64Array(ROWS_FIRST);
  rawEnd = new Float64Array(ROWS_FIRST);
  private readonly limits: DecoderLimits;
  private origin = 0n;
  private expect: Expect = EXPECT.star;
  private value = 0;
  private digits = 0;
  private left = 0;
  private keep = true;
  private kept = 0;
  private contentBytes = 0;

  constructor(limits: DecoderLimits) {
    this.limits = limits;
  }

  /** Makes ready for a command whose first byte has the stream offset `origin`. */
  begin(origin: bigint): void {
    if (this.data.length > SPANNING_WHOLE_BYTES_MAX) this.data = Buffer.alloc(SCRATCH_FIRST);
    this.bytes = 0;
    this.argc = 0;
    this.complete = 0;
    this.spec = SPEC_UNKNOWN;
    this.headerBytes = 0;
    this.origin = origin;
    this.expect = EXPECT.star;
    this.kept = 0;
    this.contentBytes = 0;
  }

  get done(): boolean {
    return this.expect === EXPECT.nothing;
  }

  /** Whether the length of argument `complete` is known and its content not complete. */
  get inContent(): boolean {
    return this.expect >= EXPECT.content && this.expect <= EXPECT.contentLf;
  }

  /**
   * Takes bytes until the command ends or the range does.
   * @returns Position after the last byte taken.
   * @throws FormatError `TM_AOF_PROTOCOL` at a byte that cannot stand there, `TM_AOF_LIMIT` at a
   *   count or length over its limit; `context.offset` is its stream offset.
   */
  take(data: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && this.expect !== EXPECT.nothing) {
      if (this.expect === EXPECT.content) {
        const length = Math.min(this.left, end - at);
        if (this.keep) this.copy(data, at, length);
        at += length;
        this.bytes += length;
        this.left -= length;
        if (this.left === 0) this.expect = EXPECT.contentCr;
      } else {
        this.step(data[at] as number);
        at += 1;
        this.bytes += 1;
      }
    }
    return at;
  }

  private step(byte: number): void {
    switch (this.expect) {
      case EXPECT.star:
        this.demand(byte, 0x2a);
        this.beginNumber(EXPECT.count);
        break;
      case EXPECT.count:
        if (byte === CR && this.digits > 0) this.endCount();
        else this.digit(byte);
        break;
      case EXPECT.countLf:
        this.demand(byte, LF);
        this.headerBytes = this.bytes + 1;
        this.expect = EXPECT.dollar;
        break;
      case EXPECT.dollar:
        this.demand(byte, 0x24);
        this.beginNumber(EXPECT.length);
        break;
      case EXPECT.length:
        if (byte === CR && this.digits > 0) this.endLength();
        else this.digit(byte);
        break;
      case EXPECT.lengthLf:
        this.demand(byte, LF);
        this.beginContent();
        break;
      case EXPECT.contentCr:
        this.demand(byte, CR);
        this.expect = EXPECT.contentLf;
        break;
      case EXPECT.contentLf:
        this.demand(byte, LF);
        this.endArgument();
        break;
      default:
    }
  }

  private demand(byte: number, wanted: number): void {
    if (byte === wanted) return;
    const context = { offset: this.offset(0), byte, wanted };
    throw new FormatError('TM_AOF_PROTOCOL', 'a byte that cannot stand here', { context });
  }

  private beginNumber(expect: Expect): void {
    this.expect = expect;
    this.value = 0;
    this.digits = 0;
  }

  private digit(byte: number): void {
    const digit = byte - ZERO;
    if (digit < 0 || digit > 9) {
      const context = { offset: this.offset(0), byte };
      throw new FormatError('TM_AOF_PROTOCOL', 'a byte that is no digit', { context });
    }
    if (this.digits === DIGITS_MAX) this.overLimit('digits', this.digits + 1, DIGITS_MAX);
    this.value = this.value * 10 + digit;
    this.digits += 1;
  }

  private endCount(): void {
    if (this.value === 0) {
      const context = { offset: this.offset(-this.digits - 1) };
      throw new FormatError('TM_AOF_PROTOCOL', 'a command without a name', { context });
    }
    const { argumentsMax } = this.limits;
    if (this.value > argumentsMax) this.overLimit('arguments', this.value, argumentsMax);
    this.argc = this.value;
    this.expect = EXPECT.countLf;
  }

  private endLength(): void {
    const { bulkBytesMax } = this.limits;
    if (this.value > bulkBytesMax) this.overLimit('bytes of an argument', this.value, bulkBytesMax);
    this.expect = EXPECT.lengthLf;
  }

  private overLimit(what: string, size: number, max: number): never {
    const context = { offset: this.offset(-this.digits - 1), size, max };
    throw new FormatError('TM_AOF_LIMIT', `${what}: ${size} exceeds limit ${max}`, {
      context,
      hint: 'a server with a larger proto-max-bulk-len needs the same limit here',
    });
  }

  /** Stream offset of the byte that is being looked at, or one `by` bytes from it. */
  private offset(by: number): bigint {
    return this.origin + BigInt(this.bytes + by);
  }

  private beginContent(): void {
    const length = this.value;
    const row = this.complete;
    if (row === this.argStart.length) this.growRows();
    const before = this.contentBytes;
    this.contentBytes += length;
    if (before <= SPANNING_WHOLE_BYTES_MAX && this.contentBytes > SPANNING_WHOLE_BYTES_MAX) {
      this.elideLarge();
    }
    this.keep =
      this.contentBytes <= SPANNING_WHOLE_BYTES_MAX ||
      (length <= KEPT_ARGUMENT_BYTES_MAX && this.kept + length <= KEPT_BYTES_MAX);
    this.rawStart[row] = this.bytes + 1;
    this.rawEnd[row] = this.bytes + 1 + length;
    this.argStart[row] = this.keep ? this.kept : ELIDED;
    this.argEnd[row] = this.keep ? this.kept + length : ELIDED;
    this.left = length;
    this.expect = length > 0 ? EXPECT.content : EXPECT.contentCr;
  }

  private endArgument(): void {
    if (this.complete === 0) {
      this.spec = findCommand(this.data, this.argStart[0] as number, this.argEnd[0] as number);
    }
    this.complete += 1;
    this.expect = this.complete === this.argc ? EXPECT.nothing : EXPECT.dollar;
  }

  private copy(data: Uint8Array, from: number, length: number): void {
    if (this.kept + length > this.data.length) {
      const larger = Buffer.alloc(Math.max(this.data.length * 2, this.kept + length));
      larger.set(this.data.subarray(0, this.kept));
      this.data = larger;
    }
    this.data.set(data.subarray(from, from + length), this.kept);
    this.kept += length;
  }

  private growRows(): void {
    const rows = this.argStart.length * 2;
    this.argStart = grown(this.argStart, new Int32Array(rows));
    this.argEnd = grown(this.argEnd, new Int32Array(rows));
    this.rawStart = grown(this.rawStart, new Float64Array(rows));
    this.rawEnd = grown(this.rawEnd, new Float64Array(rows));
  }

  /** The command turns out large: what is large in it is not kept, wherever it stands. */
  private elideLarge(): void {
    for (let row = 0; row < this.complete; row += 1) {
      if ((this.argEnd[row] as number) - (this.argStart[row] as number) > KEPT_ARGUMENT_BYTES_MAX) {
        this.argStart[row] = ELIDED;
        this.argEnd[row] = ELIDED;
      }
    }
  }
}
