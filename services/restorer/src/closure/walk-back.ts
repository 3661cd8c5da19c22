import type { Flow, FlowEntry } from '@tidemark/archive';
import { DatabaseMap, type Swap } from './database-map.ts';
import type { MemberSet } from './member-set.ts';
import { isSkipped, type SkipRange } from './skip-range.ts';

/** A command that empties or swaps databases; it is replayed whatever is selected. */
export type GlobalCommand =
  | (Swap & { readonly kind: 'swap' })
  | { readonly kind: 'flush'; readonly offset: number; readonly db: number }
  | { readonly kind: 'flush-all'; readonly offset: number };

/** Why everything up to an offset is replayed. */
export interface Everything {
  /** The last command of which it must be. */
  readonly offset: number;
  readonly command: string;
  readonly reason: string;
}

/** A segment that is walked over. */
export interface WalkedSegment {
  readonly flow: Flow;
  /** Where the plan begins: commands before it are in the snapshot. */
  readonly from: number;
  /** Where the first command begins that ends in a later segment, or the plan ends. */
  readonly to: number;
}

/**
 * The walk from the cut back to the snapshot over what can carry data from one key to another. What a
 * command that writes a key that matters has read matters up to it.
 *
 * It ends early at a FLUSHALL (nothing before it matters) and where anything may have been read
 * (`everything`): SORT with patterns, commands that nobody knows, too many keys to follow.
 */
export class WalkBack {
  readonly members: MemberSet;
  readonly #skip: SkipRange | null;
  readonly #keepFunctions: boolean;
  /** Numbers and datasets at the place the walk has come to. */
  readonly databases = new DatabaseMap();
  /** As they come, the last of the log first. */
  readonly globals: GlobalCommand[] = [];
  /** Offsets of commands that change functions, when those are wanted. */
  readonly functions: number[] = [];
  everything: Everything | null = null;
  /** A FLUSHALL was crossed: no key matters before it. */
  flushedAll = false;
  #crossings: DatabaseMap[] = [];

  constructor(members: MemberSet, skip: SkipRange | null, keepFunctions: boolean) {
    this.members = members;
    this.#skip = skip;
    this.#keepFunctions = keepFunctions;
  }

  /** Whether what stands before need not be walked over. */
  get ended(): boolean {
    return this.#isEnded();
  }

  /** The numberings that were in force within the segment that was walked over last, each once. */
  get numberings(): readonly DatabaseMap[] {
    return this.#crossings;
  }

  /** Walks over one segment; segments come from the last to the first. */
  cross({ flow, from, to }: WalkedSegment): void {
    this.#crossings = [this.databases.copy()];
    if (this.#isEnded()) return;
    if (!flow.complete) {
      this.#needAll(
        to - 1,
        '',
        'a part of the log has too many commands with several keys to be listed',
      );
      return;
    }
    for (let at = flow.entries.length - 1; at >= 0; at -= 1) {
      const entry = flow.entries[at];
      if (entry === undefined || Number(entry.offset) >= to) continue;
      if (Number(entry.offset) < from) return;
      this.#take(entry);
      if (this.#isEnded()) return;
    }
  }

  #isEnded(): boolean {
    return this.everything !== null || (this.flushedAll && !this.#keepFunctions);
  }

  #take(entry: FlowEntry): void {
    const offset = Number(entry.offset);
    if (isSkipped(this.#skip, offset)) return;
    if (this.flushedAll && entry.effect !== 'functions') return;
    switch (entry.effect) {
      case 'keys':
        this.#takeKeys(entry, offset);
        return;
      case 'flush-db':
        this.members.flush(this.databases.datasetOf(entry.db), offset);
        this.globals.push({ kind: 'flush', offset, db: entry.db });
        return;
      case 'flush-all':
        this.members.flushAll(offset);
        this.globals.push({ kind: 'flush-all', offset });
        this.flushedAll = true;
        return;
      case 'swap-db':
        if (entry.swapped !== null) this.#swap(entry.swapped, offset);
        return;
      case 'functions':
        if (this.#keepFunctions) this.functions.push(offset);
        return;
      case 'slots':
      case 'unknown':
        if (this.#mayWriteMember(entry, offset)) {
          this.#needAll(offset, entry.command, reasonOf(entry));
        }
    }
  }

  #takeKeys(entry: FlowEntry, offset: number): void {
    if (!this.#writesMember(entry, offset)) return;
    for (const { db, key, read } of entry.keys) {
      if (read) this.members.follow(this.databases.datasetOf(db), key, offset);
    }
    if (this.members.full) {
      this.#needAll(offset, entry.command, 'more keys are connected with it than can be followed');
    }
  }

  #writesMember({ keys }: FlowEntry, offset: number): boolean {
    return keys.some(({ db, key, write }) => {
      const range = { start: 0, end: key.length };
      return write && this.members.mattersAt(this.databases.datasetOf(db), key, range, offset);
    });
  }

  /** SORT with patterns reads anything, but writes the key that it names. */
  #mayWriteMember(entry: FlowEntry, offset: number): boolean {
    const named = entry.command === 'sort' && entry.keys.some(({ write }) => write);
    return !named || this.#writesMember(entry, offset);
  }

  #swap(swapped: { readonly first: number; readonly second: number }, offset: number): void {
    this.databases.swap(swapped);
    this.globals.push({ kind: 'swap', offset, ...swapped });
    // Two databases may change places often: each order of them counts once.
    if (this.#crossings.some((one) => one.isSameAs(this.databases))) return;
    this.#crossings.push(this.databases.copy());
  }

  #needAll(offset: number, command: string, reason: string): void {
    this.everything = { offset, command, reason };
  }
}

function reasonOf({ command, effect }: FlowEntry): string {
  const name = command.toUpperCase();
  if (command === 'sort') return 'SORT with BY or GET may have read any key';
  if (effect === 'slots') return `${name} reaches keys that it does not name`;
  return `nobody knows which keys ${name} reads and writes`;
}
