import { PatternText } from './pattern-text.ts';
import { byteRange, type ByteSet, type PatternPart, type Repeat } from './program.ts';
import { complementOf, utf8Paths, type CodeRange } from './utf8.ts';

/** Parts of one pattern, at most. */
export const PARTS_MAX = 1_024;

/** What may stand at one place: characters, and bytes written as `\x80` to `\xff`. */
export interface CharacterClass {
  readonly negated: boolean;
  readonly characters: readonly CodeRange[];
  readonly bytes: readonly CodeRange[];
}

/** One place of a regular expression and how often it may occur. */
export interface RegexPart {
  readonly what: CharacterClass;
  readonly repeat: Repeat;
}

const ANY_BUT_LINE_ENDS: CharacterClass = {
  negated: true,
  characters: [
    [0x0a, 0x0a],
    [0x0d, 0x0d],
  ],
  bytes: [],
};

const HINTS: Readonly<Record<string, string>> = {
  '+': 'one or more of a is written aa*; the character itself \\+',
  '(': 'there are no groups: give one --regex for each choice; the character itself is \\(',
  ')': 'there are no groups: give one --regex for each choice; the character itself is \\)',
  '{': 'there are no counts: write the character as often as it occurs; itself it is \\{',
  '}': 'there are no counts: write the character as often as it occurs; itself it is \\}',
  '|': 'give one --regex for each choice; the character itself is \\|',
  '^': 'a pattern always begins at the start of the key: leave it out; the character itself is \\^',
  $: 'a pattern always ends at the end of the key: leave it out; the character itself is \\$',
  ']': 'the character itself is \\]',
};

/**
 * Reads a regular expression by the rules of requirements B4:
 *
 *     pattern = part*            part = ( "." | class | character ) [ "*" | "?" ]
 *     class = "[" [ "^" ] ( character [ "-" character ] )+ "]"
 *
 * A backslash makes a literal of a punctuation mark; `\xHH`, `\n`, `\r`, `\t` are bytes.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position) for all else; position counts
 *   characters from 0.
 */
export function regexParts(pattern: string): readonly RegexPart[] {
  const text = new PatternText(pattern);
  const parts: RegexPart[] = [];
  while (!text.done) {
    if (parts.length === PARTS_MAX) {
      text.refuse(`a pattern has at most ${PARTS_MAX.toString()} parts`, 'give a shorter one');
    }
    const what = readOne(text);
    parts.push({ what, repeat: readRepeat(text) });
  }
  return parts;
}

function readOne(text: PatternText): CharacterClass {
  const character = text.peek();
  if (character === '.') {
    text.take();
    return ANY_BUT_LINE_ENDS;
  }
  if (character === '[') return readClass(text);
  if (character === '*' || character === '?') {
    text.refuse(
      `${character} has nothing before it`,
      `${character} repeats what stands before it: for any text write .*, for itself \\${character}`,
    );
  }
  const hint = HINTS[character];
  if (hint !== undefined) text.refuse(`${character} is not in the rules`, hint);
  const { code, isByte } = text.readLiteral();
  const range: CodeRange = [code, code];
  return { negated: false, characters: isByte ? [] : [range], bytes: isByte ? [range] : [] };
}

function readRepeat(text: PatternText): Repeat {
  const sign = text.peek();
  if (sign !== '*' && sign !== '?') return 'once';
  text.take();
  const next = text.peek();
  if (next === '*' || next === '?' || next === '+') {
    text.refuse(
      `${next} follows ${sign}`,
      `one of * and ? after a character is enough; the character itself is \\${next}`,
    );
  }
  return sign === '*' ? 'any' : 'maybe';
}

function readClass(text: PatternText): CharacterClass {
  const opened = text.position;
  text.take();
  const negated = text.peek() === '^';
  if (negated) text.take();
  const characters: CodeRange[] = [];
  const bytes: CodeRange[] = [];
  for (let first = true; text.peek() !== ']'; first = false) {
    if (text.done) text.refuse('[ is not closed', 'close it with ]; itself it is \\[', opened);
    readRange(text, first, characters, bytes);
  }
  if (characters.length + bytes.length === 0) {
    text.refuse('nothing stands between [ and ]', 'a ] within is written \\]');
  }
  text.take();
  return { negated, characters, bytes };
}

function readRange(
  text: PatternText,
  first: boolean,
  characters: CodeRange[],
  bytes: CodeRange[],
): void {
  const position = text.position;
  const next = text.peek();
  if (next === '[') text.refuse('[ stands within [ ]', 'the character itself is \\[');
  if (next === '-' && !first && text.peek(1) !== ']' && text.peek(1) !== '') {
    text.refuse('- follows a range', 'a - within [ ] is written \\-');
  }
  const from = text.readLiteral();
  let to = from;
  if (text.peek() === '-' && text.peek(1) !== ']' && text.peek(1) !== '') {
    text.take();
    if (text.peek() === '[') text.refuse('[ stands within [ ]', 'the character itself is \\[');
    to = text.readLiteral();
  }
  if (to.isByte !== from.isByte && from.code > 0x7f) {
    text.refuse('a range from a byte to a character', 'give two ranges', position);
  }
  if (to.code < from.code) {
    text.refuse('the range is the wrong way round', 'the lower end comes first', position);
  }
  if (!to.isByte) {
    characters.push([from.code, to.code]);
    return;
  }
  if (from.code < 0x80) characters.push([from.code, 0x7f]);
  bytes.push([Math.max(from.code, 0x80), to.code]);
}

/** The parts as they stand in a key that is UTF-8: a character is a character. */
export function partsOverCharacters(parts: readonly RegexPart[]): readonly PatternPart[] {
  return parts.map(({ what, repeat }) => {
    const characters = what.negated ? complementOf(what.characters) : what.characters;
    const paths = characters.flatMap((range) => utf8Paths(range));
    const bytes = what.negated ? [] : what.bytes.map(([first, last]) => [byteRange(first, last)]);
    return { paths: merged([...paths, ...bytes]), repeat };
  });
}

/** The parts as they stand in any other key: a character is a byte. */
export function partsOverBytes(parts: readonly RegexPart[]): readonly PatternPart[] {
  return parts.map(({ what, repeat }) => {
    const paths = what.characters.flatMap((range) => utf8Paths(range));
    const all = merged([...paths, ...what.bytes.map(([first, last]) => [byteRange(first, last)])]);
    if (!what.negated) return { paths: all, repeat };
    const single = all.find((path) => path.length === 1)?.[0] ?? new Uint8Array(256);
    return { paths: [[single.map((flag) => 1 - flag)]], repeat };
  });
}

/** All paths of one byte as one. */
function merged(paths: readonly (readonly ByteSet[])[]): readonly (readonly ByteSet[])[] {
  const single = new Uint8Array(256);
  const longer = paths.filter((path) => path.length > 1);
  for (const path of paths) {
    if (path.length > 1) continue;
    path[0]?.forEach((flag, byte) => {
      if (flag === 1) single[byte] = 1;
    });
  }
  return single.includes(1) ? [[single], ...longer] : longer;
}
