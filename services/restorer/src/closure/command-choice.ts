import {
  COMMANDS,
  KEY_EFFECT,
  KEY_RULE,
  visitKeys,
  type CommandBatch,
  type CommandFilterSettings,
  type KeyRule,
  type UnfinishedCommand,
} from '@tidemark/aof';
import type { Closure } from './closure.ts';
import type { DatabaseMap } from './database-map.ts';
import { isSkipped } from './skip-range.ts';
import type { GlobalCommand } from './walk-back.ts';

/** Commands whose one key stands at 1: it tells about a large one before all of it has come. */
const KEY_FIRST: ReadonlySet<KeyRule> = new Set([
  KEY_RULE.update,
  KEY_RULE.overwrite,
  KEY_RULE.set,
  KEY_RULE.restore,
]);

/** Decides which commands of a log are replayed, from the first to the last. */
export class CommandChoice implements CommandFilterSettings {
  readonly #closure: Closure;
  readonly #onGlobal: (command: GlobalCommand) => void;
  readonly #first: number;
  readonly #end: number;
  readonly #everythingTo: number;
  readonly #numbering: DatabaseMap;
  #global = 0;
  #offset = 0;
  #needed = false;
  #data: Buffer = Buffer.alloc(0);

  /**
   * @param range - Offsets of the plan, `to` exclusive.
   * @param onGlobal - Told of each FLUSHDB and SWAPDB before the command that comes after it.
   */
  constructor(
    closure: Closure,
    range: { readonly from: bigint; readonly to: bigint },
    onGlobal: (command: GlobalCommand) => void,
  ) {
    this.#closure = closure;
    this.#onGlobal = onGlobal;
    this.#first = Number(range.from);
    this.#end = Number(range.to);
    this.#everythingTo = closure.everything?.offset ?? -1;
    this.#numbering = closure.numbering.copy();
  }

  readonly keep = (batch: CommandBatch, row: number): boolean => {
    const offset = Number(batch.base) + (batch.start[row] as number);
    if (offset < this.#first || offset >= this.#end) return false;
    if (isSkipped(this.#closure.skip, offset)) return false;
    if (offset <= this.#everythingTo) return true;
    this.#passGlobals(offset);
    this.#offset = offset;
    this.#needed = false;
    this.#data = batch.data;
    const effect = visitKeys(batch, row, this.#visit);
    if (effect === KEY_EFFECT.functions) return this.#closure.keepFunctions;
    return this.#needed;
  };

  readonly keepLarge = (command: UnfinishedCommand, db: number, start: bigint): boolean | null => {
    const offset = Number(start);
    if (offset < this.#first || offset >= this.#end) return false;
    if (isSkipped(this.#closure.skip, offset)) return false;
    if (offset <= this.#everythingTo) return true;
    const rule = COMMANDS[command.spec]?.keys;
    if (rule === undefined || !KEY_FIRST.has(rule) || command.complete < 2) return null;
    const keyStart = command.argStart[1] as number;
    if (keyStart < 0) return null;
    this.#passGlobals(offset);
    const range = { start: keyStart, end: command.argEnd[1] as number };
    const dataset = this.#numbering.datasetOf(db);
    return this.#closure.members.mattersAt(dataset, command.data, range, offset);
  };

  /** Tells of what comes after the last command that was asked about. */
  end(): void {
    this.#passGlobals(this.#end);
  }

  readonly #visit = (db: number, start: number, end: number, write: boolean): void => {
    if (!write || this.#needed) return;
    const dataset = this.#numbering.datasetOf(db);
    const { members } = this.#closure;
    this.#needed = members.mattersAt(dataset, this.#data, { start, end }, this.#offset);
  };

  #passGlobals(before: number): void {
    const { globals } = this.#closure;
    for (; this.#global < globals.length; this.#global += 1) {
      const next = globals[this.#global];
      if (next === undefined || next.offset >= before) return;
      if (next.kind === 'swap') this.#numbering.swap(next);
      this.#onGlobal(next);
    }
  }
}
