import { keyHash } from './key-hash.ts';

/** Longest key that an index holds, in bytes; longer ones may be in any segment. */
export const INDEXED_KEY_MAX = 4096;

/** Bytes of the database number in front of each key: 32 bits, big endian, so that bytes sort. */
export const DB_BYTES = 4;

const STRIDE = 4;
const HASH = 0;
const AT = 1;
const LENGTH = 2;
const HEAD = 3;

/** The maxima of a key table. */
export interface KeyTableLimits {
  /** Distinct (db, key). */
  readonly keysMax: number;
  /** Bytes of all distinct keys. */
  readonly bytesMax: number;
  /** Pairs of (key, frame). */
  readonly postingsMax: number;
}

/**
 * The distinct (db, key) of a segment with the frames each occurs in: an open-addressing table over
 * bytes in one arena, so that adding a command makes no object and no string.
 *
 * Rows are numbered in order of first occurrence. Each row is 4 words: hash, arena position, length
 * with the database number, head of its frame list (newest frame first).
 */
export class KeyTable {
  readonly #limits: KeyTableLimits;
  readonly #seed: number;
  #slots: Int32Array = new Int32Array(256).fill(-1);
  #rows: Int32Array = new Int32Array(128 * STRIDE);
  #arena: Uint8Array = new Uint8Array(4096);
  #postings: Int32Array = new Int32Array(256);
  #count = 0;
  #arenaEnd = 0;
  #postingCount = 0;

  /** @param seed - Of the hash, see `keyHash`. */
  constructor(seed: number, limits: KeyTableLimits) {
    this.#seed = seed;
    this.#limits = limits;
  }

  /** Rows in the table. */
  get count(): number {
    return this.#count;
  }

  /** Database number and key of every row; a row lies from `startOf` for `lengthOf` bytes. */
  get arena(): Uint8Array {
    return this.#arena;
  }

  startOf(row: number): number {
    return this.#rows[row * STRIDE + AT] as number;
  }

  /** Bytes of a row: database number and key. */
  lengthOf(row: number): number {
    return this.#rows[row * STRIDE + LENGTH] as number;
  }

  hashOf(row: number): number {
    return this.#rows[row * STRIDE + HASH] as number;
  }

  /**
   * Gathers the frames of a row.
   * @param target - Takes them in falling order; room for every frame of the segment.
   * @returns How many there are, at least 1.
   */
  framesOf(row: number, target: Int32Array): number {
    const postings = this.#postings;
    let posting = this.#rows[row * STRIDE + HEAD] as number;
    let count = 0;
    for (; posting > 0; count++) {
      target[count] = postings[posting * 2 - 2] as number;
      posting = postings[posting * 2 - 1] as number;
    }
    return count;
  }

  /**
   * Notes that a key occurs in a frame. Frames come in rising order; one that is not above the
   * key's last one counts as noted: a command that names a key twice and spans frames repeats them.
   * @param end - Exclusive; the key is `data[start..end)`, at most `INDEXED_KEY_MAX` bytes.
   * @returns False when a limit is reached; the table is then as it was before.
   */
  add(db: number, data: Uint8Array, start: number, end: number, frame: number): boolean {
    const hash = keyHash(this.#seed, db, data, start, end);
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const row = slots[slot] as number;
      if (row < 0) break;
      if (this.#rows[row * STRIDE + HASH] === hash && this.#is(row, db, data, start, end)) {
        return this.#note(row, frame);
      }
      slot = (slot + 1) & mask;
    }
    const length = DB_BYTES + end - start;
    const { keysMax, bytesMax, postingsMax } = this.#limits;
    const full = this.#count >= keysMax || this.#postingCount >= postingsMax;
    if (full || this.#arenaEnd + length > bytesMax) return false;
    slots[slot] = this.#append(hash, db, data, start, end);
    this.#note(this.#count - 1, frame);
    if (this.#count * 2 > slots.length) this.#rehash();
    return true;
  }

  #is(row: number, db: number, data: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#rows[row * STRIDE + LENGTH] !== length + DB_BYTES) return false;
    const arena = this.#arena;
    const at = this.#rows[row * STRIDE + AT] as number;
    const stored =
      ((arena[at] as number) << 24) |
      ((arena[at + 1] as number) << 16) |
      ((arena[at + 2] as number) << 8) |
      (arena[at + 3] as number);
    if (stored !== db) return false;
    const key = at + DB_BYTES;
    for (let i = 0; i < length; i++) if (arena[key + i] !== data[start + i]) return false;
    return true;
  }

  #append(hash: number, db: number, data: Uint8Array, start: number, end: number): number {
    const row = this.#count++;
    if (this.#rows.length < this.#count * STRIDE) this.#rows = grown(this.#rows, 0);
    const at = this.#arenaEnd;
    this.#arenaEnd = at + DB_BYTES + end - start;
    if (this.#arena.length < this.#arenaEnd) this.#arena = grown(this.#arena, this.#arenaEnd);
    const arena = this.#arena;
    arena[at] = db >>> 24;
    arena[at + 1] = db >>> 16;
    arena[at + 2] = db >>> 8;
    arena[at + 3] = db;
    for (let i = start, to = at + DB_BYTES; i < end; i++, to++) arena[to] = data[i] as number;
    this.#rows[row * STRIDE + HASH] = hash;
    this.#rows[row * STRIDE + AT] = at;
    this.#rows[row * STRIDE + LENGTH] = DB_BYTES + end - start;
    return row;
  }

  #note(row: number, frame: number): boolean {
    const head = this.#rows[row * STRIDE + HEAD] as number;
    if (head > 0 && (this.#postings[head * 2 - 2] as number) >= frame) return true;
    if (this.#postingCount >= this.#limits.postingsMax) return false;
    const posting = ++this.#postingCount;
    if (this.#postings.length < posting * 2) this.#postings = grown(this.#postings, 0);
    this.#postings[posting * 2 - 2] = frame;
    this.#postings[posting * 2 - 1] = head;
    this.#rows[row * STRIDE + HEAD] = posting;
    return true;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let row = 0; row < this.#count; row++) {
      let slot = this.hashOf(row) & mask;
      while ((slots[slot] as number) >= 0) slot = (slot + 1) & mask;
      slots[slot] = row;
    }
    this.#slots = slots;
  }
}

function grown<T extends Uint8Array | Int32Array>(array: T, needed: number): T {
  const length = Math.max(array.length * 2, needed);
  const larger = array instanceof Uint8Array ? new Uint8Array(length) : new Int32Array(length);
  larger.set(array);
  return larger as T;
}
