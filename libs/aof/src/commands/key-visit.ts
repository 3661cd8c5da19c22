import type { CommandBatch } from '../decoder/command-batch.ts';
import { argumentInteger, argumentIs } from './arguments.ts';
import { KEY_EFFECT, type KeyEffect } from './key-effect.ts';

/**
 * Told of one key of a command.
 *
 * `start` and `end` (exclusive) are positions in `batch.data`. `write`: the command may change or
 * remove the key. `read`: what the command leaves depends on the key's value, TTL or existence.
 */
export type KeyVisitor = (
  db: number,
  start: number,
  end: number,
  write: boolean,
  read: boolean,
) => void;

/** How a visited key is used. */
export const READ = 1;
export const WRITE = 2;
export const BOTH = 3;

const STAR = 0x2a;

/** The walk over the keys of one command that has more than a single key at a fixed place. */
export class KeyVisit {
  readonly argc: number;
  readonly db: number;
  private readonly batch: CommandBatch;
  private readonly visitor: KeyVisitor;
  private readonly at: number;
  private elided = false;
  private keys = 0;

  constructor(batch: CommandBatch, row: number, visitor: KeyVisitor) {
    this.batch = batch;
    this.visitor = visitor;
    this.at = batch.argAt[row] as number;
    this.argc = batch.argc[row] as number;
    this.db = batch.db[row] as number;
  }

  /** Visits the key at `index`, which must be below `argc`. */
  key(index: number, use: number, db: number = this.db): void {
    const start = this.batch.argStart[this.at + index] as number;
    this.keys += 1;
    if (start < 0) {
      this.elided = true;
      return;
    }
    const end = this.batch.argEnd[this.at + index] as number;
    this.visitor(db, start, end, (use & WRITE) !== 0, (use & READ) !== 0);
  }

  /** Visits the keys at `first`, `first + step`, ... below `end`. */
  range(first: number, end: number, step: number, use: number): KeyEffect {
    if (first >= end || end > this.argc || (end - first) % step !== 0) return KEY_EFFECT.unknown;
    for (let index = first; index < end; index += step) this.key(index, use);
    return this.done();
  }

  is(index: number, word: Uint8Array): boolean {
    return argumentIs(this.batch, this.at + index, word);
  }

  /** The integer at `index`, or NaN. */
  integer(index: number): number {
    return index < this.argc ? argumentInteger(this.batch, this.at + index) : Number.NaN;
  }

  /** The count at `index` of keys that stand from `first` on; 0 when it does not fit. */
  count(index: number, first: number, step: number): number {
    const count = this.integer(index);
    return count >= 1 && first + count * step <= this.argc ? count : 0;
  }

  /** Whether the argument holds a `*`: SORT then looks keys up with it. Elided counts as yes. */
  isPattern(index: number): boolean {
    const start = this.batch.argStart[this.at + index] as number;
    if (start < 0) return true;
    const end = this.batch.argEnd[this.at + index] as number;
    for (let at = start; at < end; at += 1) if (this.batch.data[at] === STAR) return true;
    return false;
  }

  /** The effect of what was visited. */
  done(): KeyEffect {
    if (this.elided) return KEY_EFFECT.unknown;
    return this.keys > 1 ? KEY_EFFECT.multi : KEY_EFFECT.single;
  }
}
