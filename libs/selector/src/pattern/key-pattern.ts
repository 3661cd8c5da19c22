import { Automaton } from './automaton.ts';
import { globParts } from './glob-parts.ts';
import { buildProgram } from './program.ts';
import { partsOverBytes, partsOverCharacters, regexParts } from './regex-parts.ts';
import { isUtf8 } from './utf8.ts';

/** A pattern that is ready to be held against keys. */
export interface KeyPattern {
  /** Whether the bytes from `start` to `end` (exclusive) fit the whole pattern. */
  fits(data: Uint8Array, start: number, end: number): boolean;
  /** Edges looked at so far beyond one look-up per byte; grows at most linearly with the bytes. */
  readonly work: number;
}

/**
 * A regular expression by the rules of requirements B4, in time linear in the key.
 *
 * A key that is UTF-8 is matched by characters (code points), any other by bytes; there a character
 * of the pattern that is not ASCII stands for its UTF-8 bytes. `\x80` to `\xff` is always a byte.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position)
 */
export class RegexPattern implements KeyPattern {
  readonly #overCharacters: Automaton;
  readonly #overBytes: Automaton;

  constructor(pattern: string) {
    const parts = regexParts(pattern);
    this.#overCharacters = new Automaton(buildProgram(partsOverCharacters(parts)));
    this.#overBytes = new Automaton(buildProgram(partsOverBytes(parts)));
  }

  get work(): number {
    return this.#overCharacters.work + this.#overBytes.work;
  }

  fits(data: Uint8Array, start: number, end: number): boolean {
    const asCharacters = this.#overCharacters.fits(data, start, end);
    // On ASCII both machines do the same: what is refused there is refused by bytes too.
    if (this.#overCharacters.bytesSeen < 0x80) return asCharacters;
    const asBytes = this.#overBytes.fits(data, start, end);
    if (asCharacters === asBytes) return asCharacters;
    return isUtf8(data, start, end) === asCharacters;
  }
}

/**
 * A glob by the rules of the server's KEYS, in time linear in the key.
 * @throws UsageError `TM_SELECTOR_SYNTAX` when it is too long.
 */
export class GlobPattern implements KeyPattern {
  readonly #automaton: Automaton;

  constructor(pattern: string) {
    this.#automaton = new Automaton(buildProgram(globParts(pattern)));
  }

  get work(): number {
    return this.#automaton.work;
  }

  fits(data: Uint8Array, start: number, end: number): boolean {
    return this.#automaton.fits(data, start, end);
  }
}
