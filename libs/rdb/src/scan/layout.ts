import type { RdbProduct } from '../format/types.ts';
import { typeVersion } from '../format/types.ts';
import { lengthEnd, lengthValue, stringEnd, textScoreEnd } from './within.ts';

/**
 * What stands in one element of a value, in order: a positive number is that many raw bytes, the
 * others are the constants below.
 */
export type Unit = readonly number[];

/** A string in any of its encodings. */
export const STRING = -1;
/** A length of up to 64 bits. */
export const LENGTH = -2;
/** A score as text. */
export const TEXT_SCORE = -3;

/** How the bytes of a value follow one another. */
export interface Layout {
  readonly kind: 'plain' | 'module' | 'stream';
  /** Raw bytes before all else. */
  readonly head: number;
  /** Whether a count comes next and `unit` that many times; else `unit` stands once. */
  readonly counted: boolean;
  readonly unit: Unit;
}

const once = (head: number, ...unit: number[]): Layout => ({
  kind: 'plain',
  head,
  counted: false,
  unit,
});
const many = (head: number, ...unit: number[]): Layout => ({
  kind: 'plain',
  head,
  counted: true,
  unit,
});
const stepwise = (kind: 'module' | 'stream'): Layout => ({
  kind,
  head: 0,
  counted: false,
  unit: [],
});

const LAYOUTS: readonly (readonly [number, Layout])[] = [
  [0, once(0, STRING)],
  [1, many(0, STRING)],
  [2, many(0, STRING)],
  [3, many(0, STRING, TEXT_SCORE)],
  [4, many(0, STRING, STRING)],
  [5, many(0, STRING, 8)],
  [7, stepwise('module')],
  [9, once(0, STRING)],
  [10, once(0, STRING)],
  [11, once(0, STRING)],
  [12, once(0, STRING)],
  [13, once(0, STRING)],
  [14, many(0, STRING)],
  [15, stepwise('stream')],
  [16, once(0, STRING)],
  [17, once(0, STRING)],
  [18, many(0, LENGTH, STRING)],
  [19, stepwise('stream')],
  [20, once(0, STRING)],
  [21, stepwise('stream')],
  [22, many(0, STRING, STRING, 8)],
  [24, many(8, LENGTH, STRING, STRING)],
  [25, once(8, STRING)],
  [26, stepwise('stream')],
];

/** Layouts by type byte; `undefined` for a type that is not read. */
export function layoutsOf(product: RdbProduct): readonly (Layout | undefined)[] {
  const layouts = new Array<Layout | undefined>(256).fill(undefined);
  for (const [type, layout] of LAYOUTS) {
    if (typeVersion(product, type) > 0) layouts[type] = layout;
  }
  return layouts;
}

/** Position after one unit that lies wholly before `end`, or -1. */
export function unitEnd(unit: Unit, bytes: Uint8Array, at: number, end: number): number {
  let next = at;
  for (const field of unit) {
    if (field === STRING) next = stringEnd(bytes, next, end);
    else if (field === LENGTH) next = lengthEnd(bytes, next, end);
    else if (field === TEXT_SCORE) next = textScoreEnd(bytes, next, end);
    else next = next + field <= end ? next + field : -1;
    if (next < 0) return -1;
  }
  return next;
}

/** Position after a value that lies wholly before `end`, or -1. */
export function valueEnd(layout: Layout, bytes: Uint8Array, at: number, end: number): number {
  if (layout.kind !== 'plain') return -1;
  const first = at + layout.head;
  if (!layout.counted) return unitEnd(layout.unit, bytes, first, end);
  let next = lengthEnd(bytes, first, end);
  if (next < 0) return -1;
  const { unit } = layout;
  for (let left = lengthValue(bytes, first); left > 0 && next >= 0; left -= 1) {
    next = unitEnd(unit, bytes, next, end);
  }
  return next;
}
