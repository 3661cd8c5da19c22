import { argumentBytes, argumentIs, COMMANDS, keyword, type CommandBatch } from '@tidemark/aof';
import { createHash } from 'node:crypto';

/** What functions a target must hold after a replay, as far as the log tells. */
export interface ExpectedFunctions {
  /** Libraries that the log has loaded last: name to SHA-256 of the code, 64 hex. */
  readonly loaded: ReadonlyMap<string, string>;
  /** Names of libraries that the log has deleted. */
  readonly deleted: ReadonlySet<string>;
  /** How many others of the snapshot there may be. */
  readonly othersMin: number;
  readonly othersMax: number;
}

const FUNCTION_SPEC = COMMANDS.findIndex(({ name }) => name === 'function');
const LOAD = keyword('load');
const REPLACE = keyword('replace');
const DELETE = keyword('delete');
const FLUSH = keyword('flush');
const RESTORE = keyword('restore');
/** The first line of a library: `#!lua name=orders`. */
const HEAD_BYTES_MAX = 1_024;
/** A name that stands in quotes, which a server takes away, is not read. */
const NAME = /^#![^\n]*?\bname=(\w+)(?=\s)/;

/** The SHA-256 of a library's code. */
export function digestOfCode(code: Buffer): string {
  return createHash('sha256').update(code).digest('hex');
}

/** Follows the functions through a log. */
export class FunctionTally {
  readonly #loaded = new Map<string, string>();
  readonly #deleted = new Set<string>();
  #othersMin: number;
  #othersMax: number;
  #lost = false;

  /** @param inSnapshot - Libraries in the snapshot that the log follows. */
  constructor(inSnapshot: number) {
    this.#othersMin = inSnapshot;
    this.#othersMax = inSnapshot;
  }

  /** What is expected; null when a command put in what cannot be told by name. */
  get expected(): ExpectedFunctions | null {
    if (this.#lost) return null;
    return {
      loaded: this.#loaded,
      deleted: this.#deleted,
      othersMin: Math.max(0, this.#othersMin),
      othersMax: this.#othersMax,
    };
  }

  noteCommands(batch: CommandBatch): void {
    const { spec, count } = batch;
    for (let row = 0; row < count; row += 1) {
      if (spec[row] === FUNCTION_SPEC) this.#note(batch, row);
    }
  }

  #note(batch: CommandBatch, row: number): void {
    const at = batch.argAt[row] as number;
    if (batch.argc[row] === 1) return;
    const is = (word: Uint8Array): boolean => argumentIs(batch, at + 1, word);
    if (is(FLUSH)) this.#flush();
    else if (is(LOAD)) this.#load(batch, row);
    else if (is(DELETE)) this.#delete(argumentBytes(batch, row, 2));
    else if (is(RESTORE)) this.#lost = true;
  }

  #load(batch: CommandBatch, row: number): void {
    const last = (batch.argc[row] as number) - 1;
    const replaces = last > 2 && argumentIs(batch, (batch.argAt[row] as number) + 2, REPLACE);
    const code = argumentBytes(batch, row, last);
    const name = code === null ? null : NAME.exec(code.toString('utf8', 0, HEAD_BYTES_MAX))?.[1];
    if (code === null || name === null || name === undefined) {
      this.#lost = true;
      return;
    }
    // One of the snapshot may have had the name.
    if (replaces && !this.#loaded.has(name) && !this.#deleted.has(name)) this.#othersMin -= 1;
    this.#deleted.delete(name);
    this.#loaded.set(name, digestOfCode(code));
  }

  #delete(bytes: Buffer | null): void {
    if (bytes === null) {
      this.#lost = true;
      return;
    }
    const name = bytes.toString();
    if (!this.#loaded.delete(name)) {
      this.#othersMin -= 1;
      this.#othersMax -= 1;
    }
    this.#deleted.add(name);
  }

  #flush(): void {
    this.#loaded.clear();
    this.#deleted.clear();
    this.#othersMin = 0;
    this.#othersMax = 0;
    this.#lost = false;
  }
}
