import type { Selector } from '@tidemark/selector';

/** Followed keys beyond these are too many: everything is replayed then. */
const FOLLOWED_MAX = 1_000_000;
const FOLLOWED_BYTES_MAX = 256 * 1024 * 1024;

/** Offsets between which the value of a key matters: what writes it there is replayed. */
interface Life {
  /** A flush, or below everything. Exclusive. */
  from: number;
  /** Where the value is read last. Exclusive: what reads it there sees what came before. */
  readonly until: number;
}

/**
 * The keys whose value matters for what is selected, each with the stretch of the log in which it
 * does. Filled on the way back from the cut; a dataset is named by its number at the cut.
 *
 * Selected keys matter up to the cut. Other keys are followed: those that a command read which wrote
 * a key that mattered, up to that command.
 */
export class MemberSet {
  readonly #selector: Selector;
  /** Flushes on the way back: before them a selected key of the dataset does not matter. */
  readonly #flushedAt = new Map<number, number>();
  /** The FLUSHALL at which the way back ended. */
  #startsAt = -2;
  readonly #followed = new Map<number, Map<string, Life[]>>();
  #count = 0;
  #bytes = 0;

  constructor(selector: Selector) {
    this.#selector = selector;
  }

  /** Keys that are followed. */
  get followed(): number {
    return this.#count;
  }

  /** More than can be followed. */
  get full(): boolean {
    return this.#count > FOLLOWED_MAX || this.#bytes > FOLLOWED_BYTES_MAX;
  }

  /** Whether what a command at `offset` writes to the key matters. */
  mattersAt(dataset: number, data: Buffer, range: Range, offset: number): boolean {
    return this.#matters(dataset, data, range, offset, offset);
  }

  /** Whether what some command between two offsets, both included, writes to the key may matter. */
  mattersWithin(
    dataset: number,
    key: Buffer,
    within: { readonly from: number; readonly to: number },
  ): boolean {
    return this.#matters(dataset, key, { start: 0, end: key.length }, within.from, within.to);
  }

  /** Whether the value that the key has in the snapshot matters. */
  mattersFromStart(dataset: number, key: Buffer): boolean {
    return this.#matters(dataset, key, { start: 0, end: key.length }, -1, -1);
  }

  /** A command at `offset` reads the key, and what it makes of it matters. */
  follow(dataset: number, key: Buffer, offset: number): void {
    if (this.#isSelectedNow(dataset, key)) return;
    const keys = this.#followed.get(dataset) ?? new Map<string, Life[]>();
    this.#followed.set(dataset, keys);
    const name = key.toString('latin1');
    const lives = keys.get(name);
    if (lives === undefined) {
      this.#count += 1;
      this.#bytes += name.length;
      keys.set(name, [{ from: -1, until: offset }]);
    } else if (lives.at(-1)?.from !== -1) lives.push({ from: -1, until: offset });
  }

  /** On the way back a FLUSHDB is crossed: what was there before does not matter. */
  flush(dataset: number, offset: number): void {
    if (!this.#flushedAt.has(dataset)) this.#flushedAt.set(dataset, offset);
    for (const lives of this.#followed.get(dataset)?.values() ?? []) {
      const last = lives.at(-1);
      if (last?.from === -1) last.from = offset;
    }
  }

  /** The way back ends at a FLUSHALL: nothing that was there before matters. */
  flushAll(offset: number): void {
    this.#startsAt = offset;
    for (const dataset of this.#followed.keys()) this.flush(dataset, offset);
  }

  /** Calls `visit` for each key that is followed within the offsets. */
  forEachFollowed(
    within: { readonly from: number; readonly to: number },
    visit: (dataset: number, key: Buffer) => void,
  ): void {
    for (const [dataset, keys] of this.#followed) {
      for (const [name, lives] of keys) {
        if (overlaps(lives, within.from, within.to)) visit(dataset, Buffer.from(name, 'latin1'));
      }
    }
  }

  #isSelectedNow(dataset: number, key: Buffer): boolean {
    return !this.#flushedAt.has(dataset) && this.#selector.matches(dataset, key);
  }

  #matters(dataset: number, data: Buffer, range: Range, from: number, to: number): boolean {
    const flushed = Math.max(this.#flushedAt.get(dataset) ?? -2, this.#startsAt);
    if (to > flushed && this.#selector.matches(dataset, data, range.start, range.end)) return true;
    const keys = this.#followed.get(dataset);
    if (keys === undefined || keys.size === 0) return false;
    const lives = keys.get(data.toString('latin1', range.start, range.end));
    return lives !== undefined && overlaps(lives, from, to);
  }
}

/** A range of a buffer, `end` exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

function overlaps(lives: readonly Life[], from: number, to: number): boolean {
  return lives.some((life) => life.until > from && (life.from < to || life.from === -1));
}
