/** Longest annotation line, CR LF included (redis `AOF_ANNOTATION_LINE_MAX_LEN`, src/server.h). */
export const ANNOTATION_BYTES_MAX = 1024;

const PREFIX = Buffer.from('#TS:', 'latin1');
/** More digits than any time has that a server can write; the line is then of another kind. */
const DIGITS_MAX = 15;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;

/**
 * The second of a `#TS:<seconds>` line, or null when the line is another annotation.
 *
 * `line[start..end)` is a whole line with its LF. Annotations of other kinds, and one whose number
 * is not well formed, are skipped by the servers' own loaders too.
 */
export function parseTimestampLine(line: Uint8Array, start: number, end: number): number | null {
  let at = start;
  for (const byte of PREFIX) {
    if (line[at] !== byte) return null;
    at += 1;
  }
  const last = end - 2 >= at && line[end - 2] === CR ? end - 2 : end - 1;
  if (last <= at || last - at > DIGITS_MAX) return null;
  let second = 0;
  for (; at < last; at += 1) {
    const digit = (line[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return null;
    second = second * 10 + digit;
  }
  return second;
}

/** An annotation line that may come in pieces: `#` up to LF. */
export class AnnotationLine {
  private readonly line = Buffer.alloc(ANNOTATION_BYTES_MAX);
  /** Bytes of the line so far. */
  length = 0;

  begin(): void {
    this.length = 0;
  }

  /**
   * Takes bytes from `data[from..end)` up to and including the LF.
   * @returns Position after what was taken, or -1 when the line would be over 1024 bytes.
   */
  take(data: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const byte = data[at] as number;
      at += 1;
      if (this.length === ANNOTATION_BYTES_MAX) return -1;
      this.line[this.length] = byte;
      this.length += 1;
      if (byte === LF) break;
    }
    return at;
  }

  /** Whether the LF has been taken. */
  get complete(): boolean {
    return this.length > 0 && this.line[this.length - 1] === LF;
  }

  /** The second of a complete `#TS` line, else null. */
  get second(): number | null {
    return parseTimestampLine(this.line, 0, this.length);
  }
}
