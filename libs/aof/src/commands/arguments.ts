import type { ArgumentColumns, CommandBatch } from '../decoder/command-batch.ts';
import { LOWER_CASE } from './find-command.ts';

/** Most digits of a number that is read: 2^63 has 19, one more for a leading zero. */
const DIGITS_MAX = 20;
const MINUS = 0x2d;
const ZERO = 0x30;

/** An option's name as bytes to compare with. */
export function keyword(name: string): Uint8Array {
  return Buffer.from(name.toLowerCase(), 'latin1');
}

/** Whether the argument in row `at` is `word` (from `keyword`), in any case of letters. */
export function argumentIs(columns: ArgumentColumns, at: number, word: Uint8Array): boolean {
  const start = columns.argStart[at] as number;
  if (start < 0 || (columns.argEnd[at] as number) - start !== word.length) return false;
  const { data } = columns;
  for (let index = 0; index < word.length; index += 1) {
    if (LOWER_CASE[data[start + index] as number] !== word[index]) return false;
  }
  return true;
}

/**
 * The decimal integer in row `at`, or NaN when it is elided or not one. Above 2^53 the value is
 * rounded.
 */
export function argumentInteger(columns: ArgumentColumns, at: number): number {
  const start = columns.argStart[at] as number;
  const end = columns.argEnd[at] as number;
  const { data } = columns;
  const negative = start >= 0 && start < end && data[start] === MINUS;
  const first = negative ? start + 1 : start;
  if (start < 0 || first >= end || end - first > DIGITS_MAX) return Number.NaN;
  let value = 0;
  for (let position = first; position < end; position += 1) {
    const digit = (data[position] as number) - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

/**
 * The bytes of argument `index` of command `row`, as a view into the batch (valid until the next
 * `push`), or null when it was elided or does not exist.
 */
export function argumentBytes(batch: CommandBatch, row: number, index: number): Buffer | null {
  if (index >= (batch.argc[row] as number)) return null;
  const at = (batch.argAt[row] as number) + index;
  const start = batch.argStart[at] as number;
  return start < 0 ? null : batch.data.subarray(start, batch.argEnd[at]);
}
