import { syntaxError } from '../syntax-error.ts';

/** A character of a text, or a byte that an escape names and that is no ASCII character. */
export interface Literal {
  readonly code: number;
  readonly isByte: boolean;
}

const NAMED: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09 };
const PUNCTUATION = /^[ -/:-@[-`{-~]$/;

/** Reads a regular expression character by character, and refuses with the position. */
export class PatternText {
  readonly #text: string;
  readonly #characters: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#characters = Array.from(text);
  }

  /** Characters before this place. */
  get position(): number {
    return this.#at;
  }

  get done(): boolean {
    return this.#at >= this.#characters.length;
  }

  /** A character ahead; empty behind the end. */
  peek(ahead = 0): string {
    return this.#characters[this.#at + ahead] ?? '';
  }

  take(): string {
    const character = this.peek();
    this.#at += 1;
    return character;
  }

  /** A character as it stands or behind a backslash. */
  readLiteral(): Literal {
    const position = this.#at;
    const character = this.take();
    if (character === '\\') return this.#readEscape(position);
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) {
      this.refuse('half of a character', 'write its bytes as \\xHH', position);
    }
    return { code, isByte: false };
  }

  #readEscape(position: number): Literal {
    const character = this.take();
    if (character === '') {
      this.refuse('a backslash at the end', 'a backslash itself is \\\\', position);
    }
    if (character === 'x') {
      const digits = this.peek() + this.peek(1);
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) {
        this.refuse('\\x needs two hexadecimal digits', 'as in \\x0a', position);
      }
      this.#at += 2;
      const code = Number.parseInt(digits, 16);
      return { code, isByte: code > 0x7f };
    }
    const named = NAMED[character];
    if (named !== undefined) return { code: named, isByte: false };
    if (PUNCTUATION.test(character)) return { code: character.charCodeAt(0), isByte: false };
    return this.refuse(
      `\\${character} is not known`,
      'a backslash stands before a punctuation mark, or in \\xHH \\n \\r \\t; digits are [0-9]',
      position,
    );
  }

  /** @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position) */
  refuse(what: string, hint: string, position = this.#at): never {
    throw syntaxError({ kind: 'regex', text: this.#text, position, what, hint });
  }
}
