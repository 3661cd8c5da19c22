const TAG = Buffer.from('#TS:');
const LINE_FEED = 0x0a;
const ZERO = 0x30;
/** Digits of a second that are read; more is none. */
const DIGITS_MAX = 15;

/**
 * Looks for a line `#TS:<second>` of a second that `isBack` is true of. What looks like one within a
 * value is found too; a line that is not whole is not.
 * @returns Its position and second; null when there is none at or after `from`.
 */
export function findBackLine(
  data: Buffer,
  from: number,
  isBack: (second: number) => boolean,
): { readonly at: number; readonly second: number } | null {
  for (let at = data.indexOf(TAG, from); at !== -1; at = data.indexOf(TAG, at + 1)) {
    if (at > 0 && data[at - 1] !== LINE_FEED) continue;
    const second = secondAt(data, at + TAG.length);
    if (second !== null && isBack(second)) return { at, second };
  }
  return null;
}

function secondAt(data: Buffer, start: number): number | null {
  let second = 0;
  for (let at = start; at < data.length && at - start <= DIGITS_MAX; at++) {
    const digit = (data[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return at > start ? second : null;
    second = second * 10 + digit;
  }
  return null;
}
