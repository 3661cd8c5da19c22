import type { Side } from '../side.ts';

/** A value on both sides. */
export interface ValuePair {
  readonly then: Side;
  readonly live: Side;
  readonly db: number;
  readonly key: Buffer;
  /** About, of the larger one. */
  readonly bytes: number;
}

/** What one piece of a value is to take at most. */
export const PIECE_BYTES = 1024 * 1024;
const PAGE_MAX = 500;

/** How many elements of a collection make a piece, by their mean size. */
export function pageOf({ bytes }: ValuePair, elements: number): number {
  const mean = Math.max(1, bytes / Math.max(1, elements));
  return Math.min(PAGE_MAX, Math.max(1, Math.floor(PIECE_BYTES / mean)));
}

/** The same command to both sides. */
export async function askBoth(
  { then, live, db }: ValuePair,
  command: readonly (string | number | Buffer)[],
  bytes = PIECE_BYTES,
): Promise<readonly [unknown, unknown]> {
  return Promise.all([then.ask(db, command, bytes), live.ask(db, command, bytes)]);
}

/** The same command, answered with a number. */
export async function askNumbers(
  pair: ValuePair,
  name: string,
): Promise<readonly [number, number]> {
  const [a, b] = await askBoth(pair, [name, pair.key], 0);
  return [Number(a), Number(b)];
}

/** Whether two replies are the same bytes all through. */
export function sameReply(a: unknown, b: unknown): boolean {
  if (Buffer.isBuffer(a)) return Buffer.isBuffer(b) && a.equals(b);
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  if (a.length !== b.length) return false;
  return (a as readonly unknown[]).every((one, i) => sameReply(one, (b as unknown[])[i]));
}
