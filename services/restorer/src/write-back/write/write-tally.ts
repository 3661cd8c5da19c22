import { shownKey } from '@tidemark/selector';

/** Keys of a kind that are named in a report. */
const SAMPLE_KEYS = 20;
/** Keys that were left as they are are all named, up to here. */
const LEFT_KEYS_MAX = 1_000;
const SHOWN_BYTES = 512;

/** A key of a report. */
export interface NamedKey {
  readonly db: number;
  /** As `--key` takes it; a long name is cut. */
  readonly key: string;
}

/** A key that was left as it is. */
export interface LeftKey extends NamedKey {
  readonly why: string;
}

/** What became of the keys. */
export interface WriteCounts {
  /** Keys that got a value. */
  readonly restored: number;
  /** Keys that were deleted, those whose expiry has passed included. */
  readonly deleted: number;
  /** Keys that were not written because their expiry has passed. */
  readonly vanished: number;
  readonly vanishedSample: readonly NamedKey[];
  /** Keys that were as wanted when they came up. */
  readonly settled: number;
  /** Keys that may have been written: the connection was lost before the reply. */
  readonly uncertain: number;
  /** Bytes of values sent. */
  readonly bytes: number;
  readonly writtenSample: readonly NamedKey[];
  /** Keys that somebody else changed and that were left. */
  readonly conflicts: number;
  /** Keys that the server refused. */
  readonly refused: number;
  /** The keys of the last two, at most 1,000. */
  readonly left: readonly LeftKey[];
}

/** Counts what becomes of keys and keeps some names. */
export class WriteTally {
  #restored = 0;
  #deleted = 0;
  #vanished = 0;
  #settled = 0;
  #uncertain = 0;
  #bytes = 0;
  #conflicts = 0;
  #refused = 0;
  readonly #written: NamedKey[] = [];
  readonly #gone: NamedKey[] = [];
  readonly #left: LeftKey[] = [];

  restored(db: number, key: Buffer, bytes: number): void {
    this.#restored += 1;
    this.#bytes += bytes;
    sample(this.#written, db, key);
  }

  deleted(db: number, key: Buffer): void {
    this.#deleted += 1;
    sample(this.#written, db, key);
  }

  vanished(db: number, key: Buffer): void {
    this.#vanished += 1;
    sample(this.#gone, db, key);
  }

  settled(count = 1): void {
    this.#settled += count;
  }

  uncertain(count: number): void {
    this.#uncertain += count;
  }

  left(kind: 'conflict' | 'refused', db: number, key: Buffer, why: string): void {
    if (kind === 'conflict') this.#conflicts += 1;
    else this.#refused += 1;
    if (this.#left.length < LEFT_KEYS_MAX) this.#left.push({ ...nameKey(db, key), why });
  }

  counts(): WriteCounts {
    return {
      restored: this.#restored,
      deleted: this.#deleted,
      vanished: this.#vanished,
      vanishedSample: [...this.#gone],
      settled: this.#settled,
      uncertain: this.#uncertain,
      bytes: this.#bytes,
      writtenSample: [...this.#written],
      conflicts: this.#conflicts,
      refused: this.#refused,
      left: [...this.#left],
    };
  }
}

/** A key as it is shown. */
export function nameKey(db: number, key: Buffer): NamedKey {
  const cut = key.length > SHOWN_BYTES ? '…' : '';
  return { db, key: shownKey(key, SHOWN_BYTES) + cut };
}

function sample(names: NamedKey[], db: number, key: Buffer): void {
  if (names.length < SAMPLE_KEYS) names.push(nameKey(db, key));
}
