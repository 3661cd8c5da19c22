import { SPEC_EXEC, SPEC_UNKNOWN } from '../commands/command-table.ts';
import { findCommand } from '../commands/find-command.ts';
import type { CommandColumns } from './command-columns.ts';
import { DIGITS_MAX, type DecoderLimits } from './limits.ts';
import type { StreamState } from './stream-state.ts';

const CR = 0x0d;
const LF = 0x0a;
const DOLLAR = 0x24;
const STAR = 0x2a;
const ZERO = 0x30;
/** `*1 CR LF $0 CR LF CR LF` */
const COMMAND_BYTES_MIN = 10;
/** `$0 CR LF CR LF` */
const ARGUMENT_BYTES_MIN = 6;

/** Where and how to scan. */
export interface ScanRange {
  readonly data: Uint8Array;
  /** First position, at the start of a command. */
  readonly from: number;
  /** End of the bytes, exclusive. */
  readonly end: number;
  /** What is added to a position to get an offset relative to the batch's base. */
  readonly shift: number;
  readonly limits: DecoderLimits;
}

/**
 * Takes as many whole commands as lie in a range, at full speed, and adds a row for each.
 *
 *     command  = "*" count CR LF 1*argument
 *     argument = "$" length CR LF *byte CR LF
 *
 * It never throws: at a command that is not whole, not well formed or over a limit it stops
 * before that command, and `SpanningCommand` says what is wrong with it.
 * @returns Position after the last command taken.
 */
export function scanCommands(
  range: ScanRange,
  columns: CommandColumns,
  state: StreamState,
): number {
  const { data, end, shift } = range;
  const { argumentsMax } = range.limits;
  let pos = range.from;
  while (end - pos >= COMMAND_BYTES_MIN && data[pos] === STAR) {
    let at = pos + 1;
    let byte = data[at] as number;
    let argc = 0;
    while (byte !== CR) {
      const digit = byte - ZERO;
      at += 1;
      if (digit < 0 || digit > 9 || at >= end || argc > argumentsMax) return pos;
      argc = argc * 10 + digit;
      byte = data[at] as number;
    }
    // No digit at all leaves argc at 0.
    if (argc === 0 || argc > argumentsMax || at - pos > DIGITS_MAX + 1) return pos;
    if (data[at + 1] !== LF) return pos;

    const rows = columns.argumentCount;
    at = scanArguments(range, columns, at + 2, argc);
    if (at < 0) return pos;
    if (columns.count === columns.start.length) columns.growCommands();
    const { count } = columns;
    columns.start[count] = pos + shift;
    columns.end[count] = at + shift;
    addCommand(columns, state, data, argc);
    columns.count = count + 1;
    columns.argumentCount = rows + argc;
    if (!state.inMulti) state.boundary = at + shift;
    pos = at;
  }
  return pos;
}

/**
 * Fills in the rows of `argc` arguments.
 * @returns Position after the last one, or -1 when they are not all there or not well formed.
 */
function scanArguments(
  range: ScanRange,
  columns: CommandColumns,
  from: number,
  argc: number,
): number {
  const { data, end } = range;
  const { bulkBytesMax } = range.limits;
  // Rows by the bytes that are there, never by the count that is claimed.
  if (argc > (end - from) / ARGUMENT_BYTES_MIN) return -1;
  let row = columns.argumentCount;
  const rowsEnd = row + argc;
  if (rowsEnd > columns.argStart.length) columns.growArguments(rowsEnd);
  const { argStart, argEnd } = columns;
  let at = from;
  for (; row < rowsEnd; row += 1) {
    if (end - at < ARGUMENT_BYTES_MIN || data[at] !== DOLLAR) return -1;
    const lengthAt = at + 1;
    at = lengthAt;
    let byte = data[at] as number;
    let length = 0;
    while (byte !== CR) {
      const digit = byte - ZERO;
      at += 1;
      if (digit < 0 || digit > 9 || at >= end || length > bulkBytesMax) return -1;
      length = length * 10 + digit;
      byte = data[at] as number;
    }
    const digits = at - lengthAt;
    if (length > bulkBytesMax || digits === 0 || digits > DIGITS_MAX) return -1;
    const start = at + 2;
    const stop = start + length;
    if (stop + 2 > end || data[at + 1] !== LF) return -1;
    if (data[stop] !== CR || data[stop + 1] !== LF) return -1;
    argStart[row] = start;
    argEnd[row] = stop;
    at = stop + 2;
  }
  return at;
}

/** Fills in row `columns.count` with what its arguments, from the next free row on, tell. */
function addCommand(
  columns: CommandColumns,
  state: StreamState,
  data: Uint8Array,
  argc: number,
): void {
  const { count, argumentCount: row, argStart, argEnd } = columns;
  const spec = findCommand(data, argStart[row] as number, argEnd[row] as number);
  let { inMulti } = state;
  if (spec <= SPEC_EXEC && spec !== SPEC_UNKNOWN) {
    const start = argc === 2 ? (argStart[row + 1] as number) : -1;
    const end = argc === 2 ? (argEnd[row + 1] as number) : -1;
    inMulti = state.apply(spec, data, start, end);
  }
  columns.spec[count] = spec;
  columns.db[count] = state.db;
  columns.inMulti[count] = inMulti ? 1 : 0;
  columns.argc[count] = argc;
  columns.argAt[count] = row;
}
