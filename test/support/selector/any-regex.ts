import fc from 'fast-check';

/** One place of a pattern, told apart from how it is written. */
interface Place {
  readonly what:
    | { readonly kind: 'any' }
    | { readonly kind: 'character'; readonly character: string }
    | {
        readonly kind: 'class';
        readonly negated: boolean;
        readonly ranges: readonly (readonly [string, string])[];
      };
  readonly repeat: '' | '*' | '?';
}

/** Characters of one to four bytes, line ends and signs that have a meaning in patterns. */
const CHARACTERS = ['a', 'b', 'c', '-', '*', '.', ']', '\\', '\n', '\r', 'é', 'ü', '€', '😀'];
const META = /[.*?+()[\]{}|^$\\-]/;

const character = fc.constantFrom(...CHARACTERS);
const range = fc
  .tuple(character, character)
  .map(([a, b]): readonly [string, string] =>
    a.codePointAt(0)! <= b.codePointAt(0)! ? [a, b] : [b, a],
  );
const place = fc.record({
  what: fc.oneof(
    fc.constant({ kind: 'any' } as const),
    fc.record({ kind: fc.constant('character' as const), character }),
    fc.record({
      kind: fc.constant('class' as const),
      negated: fc.boolean(),
      ranges: fc.array(range, { minLength: 1, maxLength: 3 }),
    }),
  ),
  repeat: fc.constantFrom<Place['repeat'][]>('', '', '*', '?'),
});

/** Patterns as lists of places. */
export const anyPlaces: fc.Arbitrary<readonly Place[]> = fc.array(place, {
  minLength: 1,
  maxLength: 7,
});
/** Keys that are UTF-8. */
export const anyText = fc.array(character, { maxLength: 9 }).map((list) => list.join(''));
/** Keys that are not. */
export const anyBytes = fc
  .tuple(fc.array(fc.oneof(character, fc.constant(null)), { maxLength: 7 }), fc.nat(7))
  .map(([list, at]) => [...list.slice(0, at), null, ...list.slice(at)])
  .map((list) =>
    Buffer.concat(list.map((each) => (each === null ? Buffer.of(0xff) : Buffer.from(each)))),
  );

const quoted = (text: string): string => (META.test(text) ? `\\${text}` : text);

/** The pattern as a user writes it. */
export function written(places: readonly Place[]): string {
  return places
    .map(({ what, repeat }) => {
      if (what.kind === 'any') return `.${repeat}`;
      if (what.kind === 'character') return `${quoted(what.character)}${repeat}`;
      const ranges = what.ranges.map(([a, b]) =>
        a === b ? quoted(a) : `${quoted(a)}-${quoted(b)}`,
      );
      return `[${what.negated ? '^' : ''}${ranges.join('')}]${repeat}`;
    })
    .join('');
}

const code = (text: string): string => `\\u{${text.codePointAt(0)!.toString(16)}}`;

/** What it must mean for a key that is UTF-8, as an expression of the language. */
export function overCharacters(places: readonly Place[]): RegExp {
  const parts = places.map(({ what, repeat }) => {
    if (what.kind === 'any') return `[^\\r\\n]${repeat}`;
    if (what.kind === 'character') return `${code(what.character)}${repeat}`;
    const ranges = what.ranges.map(([a, b]) => `${code(a)}-${code(b)}`);
    return `[${what.negated ? '^' : ''}${ranges.join('')}]${repeat}`;
  });
  return new RegExp(`^(?:${parts.join('')})$`, 'su');
}

const hex = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;
const bytesOf = (text: string): string => Array.from(Buffer.from(text), hex).join('');

/** What it must mean for any other key, held against its bytes as latin1. */
export function overBytes(places: readonly Place[]): RegExp {
  const parts = places.map(({ what, repeat }) => {
    if (what.kind === 'any') return `[^\\r\\n]${repeat}`;
    if (what.kind === 'character') return `(?:${bytesOf(what.character)})${repeat}`;
    if (what.negated) {
      const ascii = what.ranges.flatMap(([a, b]) => {
        const last = Math.min(b.codePointAt(0)!, 0x7f);
        return a.codePointAt(0)! > 0x7f ? [] : [`${hex(a.charCodeAt(0))}-${hex(last)}`];
      });
      return ascii.length === 0 ? `[\\x00-\\xff]${repeat}` : `[^${ascii.join('')}]${repeat}`;
    }
    // Of a range only the characters that occur in keys need to be told.
    const members = CHARACTERS.filter((each) =>
      what.ranges.some(
        ([a, b]) =>
          a.codePointAt(0)! <= each.codePointAt(0)! && each.codePointAt(0)! <= b.codePointAt(0)!,
      ),
    );
    return `(?:${members.map(bytesOf).join('|')})${repeat}`;
  });
  return new RegExp(`^(?:${parts.join('')})$`, 's');
}
