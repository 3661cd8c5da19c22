import {
  COMMANDS,
  KEY_EFFECT,
  KEY_RULE,
  swappedDatabases,
  visitKeys,
  type CommandBatch,
  type KeyEffect,
} from '@tidemark/aof';
import { commandName } from '@tidemark/archive';
import type { SkipRange } from '../closure/skip-range.ts';
import { KeyNotes, type KeyList } from './key-notes.ts';
import { TaintSet } from './taint-set.ts';

/** Keys of each list that are named. */
const LISTED_MAX = 100;

/** Names of unknown commands that are told. */
const UNKNOWN_NAMES_MAX = 100;

/** What is followed, and what is told. */
export interface TaintOptions {
  /** Commands that are left out: those that start at these offsets. */
  readonly skip: SkipRange;
  /** Which keys are told; every key is followed. Default: all. */
  readonly selects?: (db: number, data: Buffer, start: number, end: number) => boolean;
  /** Keys that are remembered at once. Default 100,000. */
  readonly keysMax?: number;
  /** Keys of each list that are named. Default 100. */
  readonly listedMax?: number;
}

/** A command that may have read anything. */
export interface UnknownReader {
  /** Lower case. */
  readonly command: string;
  readonly count: number;
  /** Of the first one. */
  readonly offset: bigint;
}

/** What leaving commands out means for others. */
export interface TaintReport {
  readonly skippedCommands: number;
  /** Keys that the skipped commands name and write. */
  readonly wrote: KeyList;
  /** Databases that they emptied or swapped, or `all`: every key there was written. */
  readonly wroteDatabases: readonly number[] | 'all';
  /** Keys that later commands wrote after reading what a skipped command wrote, or such a key. */
  readonly readers: KeyList;
  /** Later commands of unknown effect, while a key differed: whatever they wrote may differ. */
  readonly unknown: readonly UnknownReader[];
  /** False = there were too many keys to follow: the lists may lack some, and hold some too many. */
  readonly complete: boolean;
}

interface KeyUse {
  readonly db: number;
  readonly key: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly selected: boolean;
}

/**
 * Follows what commands that are left out of a replay would have written: through every command that
 * reads such a key and writes another one, until a whole overwrite or a flush ends it. A command is
 * taken to need all that it may read, so that a key too many may be told, never one too few while
 * the report is `complete`.
 *
 * Feed it the log as it was written, the skipped commands among it, in order.
 */
export class TaintedKeys {
  readonly #options: TaintOptions;
  readonly #taint: TaintSet;
  readonly #wrote: KeyNotes;
  readonly #readers: KeyNotes;
  readonly #databases = new Set<number>();
  readonly #unknown = new Map<string, UnknownReader>();
  #all = false;
  #skipped = 0;
  #complete = true;

  constructor(options: TaintOptions) {
    const { keysMax, listedMax = LISTED_MAX } = options;
    this.#options = options;
    this.#taint = new TaintSet(keysMax);
    this.#wrote = new KeyNotes(listedMax);
    this.#readers = new KeyNotes(listedMax);
  }

  /** Takes the next commands. Nothing of the batch is kept. */
  push(batch: CommandBatch): void {
    const from = Number(this.#options.skip.from - batch.base);
    const to = Number(this.#options.skip.to - batch.base);
    for (let row = 0; row < batch.count; row++) {
      const start = batch.start[row] as number;
      if (start >= from && start <= to) this.#skip(batch, row);
      else if (start > to && !this.#taint.empty) this.#follow(batch, row);
    }
  }

  report(): TaintReport {
    return {
      skippedCommands: this.#skipped,
      wrote: this.#wrote.list,
      wroteDatabases: this.#all ? 'all' : [...this.#databases].sort((a, b) => a - b),
      readers: this.#readers.list,
      unknown: [...this.#unknown.values()],
      complete: this.#complete && this.#taint.complete,
    };
  }

  #skip(batch: CommandBatch, row: number): void {
    const { uses, effect } = this.#usesOf(batch, row);
    this.#skipped += 1;
    for (const use of uses) {
      if (use.write) this.#mark(this.#wrote, batch, row, use, effect !== KEY_EFFECT.unknown);
    }
    switch (effect) {
      case KEY_EFFECT.flushDb:
        this.#markAll(batch.db[row] as number);
        break;
      case KEY_EFFECT.swapDb: {
        const swapped = swappedDatabases(batch, row);
        if (swapped === null) this.#markAll(null);
        else for (const db of [swapped.first, swapped.second]) this.#markAll(db);
        break;
      }
      case KEY_EFFECT.unknown:
        if (!isSort(batch, row)) this.#markAll(null);
        break;
      case KEY_EFFECT.flushAll:
      case KEY_EFFECT.slots:
        this.#markAll(null);
        break;
      default:
    }
  }

  #markAll(db: number | null): void {
    this.#taint.setAll(db, true);
    if (db === null) this.#all = true;
    else this.#databases.add(db);
  }

  #follow(batch: CommandBatch, row: number): void {
    const { uses, effect } = this.#usesOf(batch, row);
    switch (effect) {
      case KEY_EFFECT.none:
      case KEY_EFFECT.functions:
      case KEY_EFFECT.slots:
        return;
      case KEY_EFFECT.flushDb:
        this.#taint.setAll(batch.db[row] as number, false);
        return;
      case KEY_EFFECT.flushAll:
        this.#taint.setAll(null, false);
        return;
      case KEY_EFFECT.swapDb: {
        const { first = 0, second = 0 } = swappedDatabases(batch, row) ?? {};
        this.#taint.swap(first, second);
        return;
      }
      case KEY_EFFECT.unknown:
        this.#noteUnknown(batch, row);
        this.#spread(batch, row, uses, false);
        return;
      default:
        if (!this.#transfer(batch, row, uses)) this.#spread(batch, row, uses, true);
    }
  }

  /** What a command wrote of what it read. */
  #spread(batch: CommandBatch, row: number, uses: readonly KeyUse[], sure: boolean): void {
    const reads = uses.some(({ db, key, read }) => read && this.#taint.has(db, key));
    for (const use of uses) {
      if (!use.write) continue;
      if (reads || !sure) this.#mark(this.#readers, batch, row, use, reads);
      else if (!use.read) this.#taint.set(use.db, use.key, false);
    }
  }

  /** RENAME, RENAMENX, MOVE, COPY: what the one key was the other one is. */
  #transfer(batch: CommandBatch, row: number, [from, to]: readonly KeyUse[]): boolean {
    const rule = COMMANDS[batch.spec[row] as number]?.keys ?? KEY_RULE.opaque;
    const leaves = rule === KEY_RULE.copy;
    const moves = [KEY_RULE.rename, KEY_RULE.renameNx, KEY_RULE.move].some((one) => one === rule);
    if (from === undefined || to === undefined || !(leaves || moves)) return false;
    if (from.db === to.db && from.key === to.key) return true;
    const value = this.#taint.has(from.db, from.key);
    // Without RENAME or REPLACE it happens only where the target is not there.
    const happens = to.read && this.#taint.has(to.db, to.key);
    if (value || happens) this.#mark(this.#readers, batch, row, to, true);
    else this.#taint.set(to.db, to.key, false);
    if (leaves) return true;
    if (happens) this.#mark(this.#readers, batch, row, from, true);
    else this.#taint.set(from.db, from.key, false);
    return true;
  }

  #mark(notes: KeyNotes, batch: CommandBatch, row: number, use: KeyUse, sure: boolean): void {
    this.#taint.set(use.db, use.key, true);
    if (!use.selected) return;
    const offset = batch.base + BigInt(batch.start[row] as number);
    notes.note(use.db, use.key, { offset, command: commandName(batch, row), sure });
  }

  #noteUnknown(batch: CommandBatch, row: number): void {
    const command = commandName(batch, row);
    const known = this.#unknown.get(command);
    if (known !== undefined) this.#unknown.set(command, { ...known, count: known.count + 1 });
    else if (this.#unknown.size >= UNKNOWN_NAMES_MAX) this.#complete = false;
    else {
      const offset = batch.base + BigInt(batch.start[row] as number);
      this.#unknown.set(command, { command, count: 1, offset });
    }
  }

  #usesOf(
    batch: CommandBatch,
    row: number,
  ): { readonly uses: readonly KeyUse[]; readonly effect: KeyEffect } {
    const { selects } = this.#options;
    const uses: KeyUse[] = [];
    const effect = visitKeys(batch, row, (db, start, end, write, read) => {
      const key = batch.data.toString('latin1', start, end);
      const selected = selects?.(db, batch.data, start, end) ?? true;
      uses.push({ db, key, read, write, selected });
    });
    return { uses, effect };
  }
}

function isSort(batch: CommandBatch, row: number): boolean {
  return COMMANDS[batch.spec[row] as number]?.keys === KEY_RULE.sort;
}
