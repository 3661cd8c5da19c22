/*
 * Words of one manifest line, the way the server reads them (redis src/sds.c, sdssplitargs):
 *
 *   line   = word *( blank word )
 *   word   = *( plain | double | single )      a closing quote must end the word
 *   double = '"' *( escape | byte ) '"'        escape = \xHH \n \r \t \b \a or \ and any byte
 *   single = "'" *( \' | byte ) "'"
 */

const BACKSLASH = 0x5c;
const DOUBLE = 0x22;
const SINGLE = 0x27;

const isBlank = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

const hexDigit = (byte: number | undefined): number => {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
};

const ESCAPES: Readonly<Record<number, number>> = {
  0x6e: 0x0a,
  0x72: 0x0d,
  0x74: 0x09,
  0x62: 0x08,
  0x61: 0x07,
};

/** One quoted part: appends its bytes to `out`; returns the index after the closing quote or -1. */
function readQuoted(line: Uint8Array, from: number, quote: number, out: number[]): number {
  for (let at = from; at < line.length; at++) {
    const byte = line[at] ?? 0;
    if (byte === quote) {
      const next = line[at + 1];
      return next === undefined || isBlank(next) ? at + 1 : -1;
    }
    const next = line[at + 1];
    if (byte !== BACKSLASH || next === undefined || (quote === SINGLE && next !== SINGLE)) {
      out.push(byte);
      continue;
    }
    const high = hexDigit(line[at + 2]);
    const low = hexDigit(line[at + 3]);
    if (quote === DOUBLE && next === 0x78 && high >= 0 && low >= 0) {
      out.push(high * 16 + low);
      at += 3;
    } else {
      out.push(quote === DOUBLE ? (ESCAPES[next] ?? next) : next);
      at += 1;
    }
  }
  return -1;
}

/**
 * Splits one line into words.
 * @param line - The bytes of the line without its newline.
 * @returns The words as bytes, or `null` when a quote is not closed or not followed by a blank.
 */
export function splitWords(line: Uint8Array): Buffer[] | null {
  const words: Buffer[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isBlank(line[at] ?? 0)) at++;
    if (at >= line.length) return words;
    const word: number[] = [];
    while (at < line.length) {
      const byte = line[at] ?? 0;
      if (isBlank(byte)) break;
      if (byte === DOUBLE || byte === SINGLE) {
        at = readQuoted(line, at + 1, byte, word);
        if (at < 0) return null;
      } else {
        word.push(byte);
        at++;
      }
    }
    words.push(Buffer.from(word));
  }
}
