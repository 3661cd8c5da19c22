import type { Random } from './ports/random.ts';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * Makes an id that sorts by time: 10 characters of milliseconds, 16 random ones (Crockford base 32,
 * lower case, the layout of ULID).
 * @param nowMs - Unix milliseconds, below 2^48.
 */
export function makeId(nowMs: number, random: Random): string {
  let time = '';
  for (let rest = Math.floor(nowMs), i = 0; i < 10; i++, rest = Math.floor(rest / 32)) {
    time = (ALPHABET[rest % 32] ?? '0') + time;
  }
  let tail = '';
  for (const byte of random.bytes(16)) tail += ALPHABET[byte & 31] ?? '0';
  return time + tail;
}

/** The Unix milliseconds that an id of `makeId` was made at, by the clock of then; null for no such id. */
export function idMadeMs(id: string): number | null {
  if (!/^[0-9a-hjkmnp-tv-z]{26}$/.test(id)) return null;
  let ms = 0;
  for (let i = 0; i < 10; i++) ms = ms * 32 + ALPHABET.indexOf(id.charAt(i));
  return ms;
}

/**
 * Whether a name may be part of an object key or a path: `[a-z0-9][a-z0-9-]{0,62}`.
 * Instance ids, and ids made by `makeId`, pass.
 */
export function isSafeName(name: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(name);
}
