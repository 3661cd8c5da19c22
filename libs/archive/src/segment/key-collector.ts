import { HashPairSet } from './hash-set.ts';
import { keyHash, seedsOf } from './key-hash.ts';
import { DB_BYTES, INDEXED_KEY_MAX, KeyTable, type KeyTableLimits } from './key-table.ts';

/** Most distinct keys that are listed; more become a filter. */
const LISTED_MAX: KeyTableLimits = {
  keysMax: 1_000_000,
  bytesMax: 64 * 1_048_576,
  postingsMax: 4_000_000,
};

/** Most distinct keys in a filter; with more there is no index. */
const FILTER_KEYS_MAX = 4_000_000;

/** Maxima of the key index of one segment. */
export interface KeyIndexLimits extends KeyTableLimits {
  readonly filterKeysMax: number;
}

/** The maxima in use: about 130 MB at the worst. */
const KEY_INDEX_LIMITS: KeyIndexLimits = { ...LISTED_MAX, filterKeysMax: FILTER_KEYS_MAX };

/** What was collected: all keys, or only hashes of them, or nothing, because they were too many. */
export type CollectedKeys =
  | { readonly kind: 'keys'; readonly table: KeyTable }
  | { readonly kind: 'hashes'; readonly hashes: HashPairSet }
  | { readonly kind: 'none' };

/** Collects the distinct keys of a segment in bounded memory. */
export class KeyCollector {
  readonly #limits: KeyIndexLimits;
  readonly #seeds: readonly [number, number];
  #table: KeyTable | null;
  #hashes: HashPairSet | null = null;

  constructor(timeline: string, start: bigint, limits: KeyIndexLimits = KEY_INDEX_LIMITS) {
    this.#limits = limits;
    this.#seeds = seedsOf(timeline, start);
    this.#table = new KeyTable(this.#seeds[0], limits);
  }

  get seeds(): readonly [number, number] {
    return this.#seeds;
  }

  /** Notes that the key `data[start..end)` occurs in the frames from `first` to `last`. */
  add(
    db: number,
    data: Uint8Array,
    start: number,
    end: number,
    frames: { first: number; last: number },
  ): void {
    if (end - start > INDEXED_KEY_MAX) {
      // A list that lacks a key would deny it to whoever looks for a pattern.
      if (this.#table !== null) this.#forgetList(this.#table);
      return;
    }
    if (this.#table !== null) {
      let frame = frames.first;
      while (frame <= frames.last && this.#table.add(db, data, start, end, frame)) frame++;
      if (frame > frames.last) return;
      this.#forgetList(this.#table);
    }
    if (this.#hashes === null) return;
    const [first, second] = this.#seeds;
    const fits = this.#hashes.add(
      keyHash(first, db, data, start, end),
      keyHash(second, db, data, start, end),
    );
    if (!fits) this.#hashes = null;
  }

  /** What was collected. */
  collected(): CollectedKeys {
    if (this.#table !== null) return { kind: 'keys', table: this.#table };
    if (this.#hashes !== null) return { kind: 'hashes', hashes: this.#hashes };
    return { kind: 'none' };
  }

  /** The hashes of everything collected, for a filter; null when there is no way to have one. */
  hashes(): HashPairSet | null {
    return this.#table === null ? this.#hashes : this.#hashTable(this.#table);
  }

  #forgetList(table: KeyTable): void {
    this.#hashes = this.#hashTable(table);
    this.#table = null;
  }

  #hashTable(table: KeyTable): HashPairSet | null {
    const hashes = new HashPairSet(this.#limits.filterKeysMax, table.count);
    const { arena } = table;
    for (let row = 0; row < table.count; row++) {
      const at = table.startOf(row);
      const db = new DataView(arena.buffer, arena.byteOffset + at, DB_BYTES).getInt32(0);
      const end = at + table.lengthOf(row);
      const second = keyHash(this.#seeds[1], db, arena, at + DB_BYTES, end);
      if (!hashes.add(table.hashOf(row), second)) return null;
    }
    return hashes;
  }
}
