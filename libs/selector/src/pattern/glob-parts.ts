import { syntaxError } from '../syntax-error.ts';
import { byteRange, type ByteSet, type PatternPart } from './program.ts';
import { PARTS_MAX } from './regex-parts.ts';

const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const BACKSLASH = 0x5c;
const CARET = 0x5e;
const HYPHEN = 0x2d;

const one = (byte: number): ByteSet => byteRange(byte, byte);

/**
 * Reads a glob as the server's KEYS does (`stringmatchlen`, util.c): over bytes; `*` any bytes, `?`
 * one, `[abc]`, `[^abc]`, `[a-c]` (either way round), `\` makes the next byte literal. Nothing is
 * refused for its form: a class that is not closed ends with the pattern, and a backslash at the end
 * stands for itself, as there. A range is over bytes without a sign; a server takes those over 0x7f
 * as its machine's `char` does.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position) when it has too many parts.
 */
export function globParts(pattern: string): readonly PatternPart[] {
  const bytes = Buffer.from(pattern);
  const parts: PatternPart[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (parts.length === PARTS_MAX) refuse(pattern, at);
    const byte = bytes[at] as number;
    at += 1;
    if (byte === STAR) {
      // Two stars mean what one does.
      if (parts.at(-1)?.repeat !== 'any')
        parts.push({ paths: [[byteRange(0, 255)]], repeat: 'any' });
    } else if (byte === QUESTION) {
      parts.push({ paths: [[byteRange(0, 255)]], repeat: 'once' });
    } else if (byte === OPEN) {
      const read = readClass(bytes, at);
      parts.push({ paths: read.set.includes(1) ? [[read.set]] : [], repeat: 'once' });
      at = read.next;
    } else if (byte === BACKSLASH && at < bytes.length) {
      parts.push({ paths: [[one(bytes[at] as number)]], repeat: 'once' });
      at += 1;
    } else {
      parts.push({ paths: [[one(byte)]], repeat: 'once' });
    }
  }
  return parts;
}

/** A class from behind its bracket; `next` is the byte behind it. */
function readClass(bytes: Buffer, from: number): { readonly set: ByteSet; readonly next: number } {
  let at = from;
  const negated = bytes[at] === CARET;
  if (negated) at += 1;
  const set = new Uint8Array(256);
  while (at < bytes.length && bytes[at] !== CLOSE) {
    const byte = bytes[at] as number;
    const left = bytes.length - at;
    if (byte === BACKSLASH && left >= 2) {
      set[bytes[at + 1] as number] = 1;
      at += 2;
    } else if (left >= 3 && bytes[at + 1] === HYPHEN) {
      const other = bytes[at + 2] as number;
      set.fill(1, Math.min(byte, other), Math.max(byte, other) + 1);
      at += 3;
    } else {
      set[byte] = 1;
      at += 1;
    }
  }
  return { set: negated ? set.map((flag) => 1 - flag) : set, next: at + 1 };
}

function refuse(pattern: string, at: number): never {
  throw syntaxError({
    kind: 'glob',
    text: pattern,
    position: Array.from(Buffer.from(pattern).toString('utf8', 0, at)).length,
    what: `a pattern has at most ${PARTS_MAX.toString()} parts`,
    hint: 'give a shorter one',
  });
}
