import { FormatError } from '@tidemark/core';
import type { CommandBatch, UnfinishedCommand } from '../../decoder/command-batch.ts';
import { CommandDecoder } from '../../decoder/command-decoder.ts';
import { COMMANDS, KEY_RULE } from '../command-table.ts';
import { ChunkWriter } from '../raw/chunk-writer.ts';
import { HeldCommand } from '../raw/held-command.ts';
import { encodeCommand } from '../raw/raw-command.ts';
import { OffsetMap } from './offset-map.ts';

/** A command larger than this that cannot be told about yet goes on. */
const HOLD_BYTES_MAX = 64 * 1024 * 1024;

/** What decides about the commands of a log. */
export interface CommandFilterSettings {
  /** Whether a command goes on. Not asked about SELECT, MULTI, EXEC and others without an effect. */
  readonly keep: (batch: CommandBatch, row: number) => boolean;
  /**
   * Whether a large command goes on of which a part has come; null when that does not tell yet.
   * Asked again with each part.
   * @param offset - Of its first byte.
   */
  readonly keepLarge: (command: UnfinishedCommand, db: number, offset: bigint) => boolean | null;
}

/** Sees every command of the stretches, in order, before it is decided about. */
export type FilterWatch = (batch: CommandBatch) => void;

/** Where a stretch of a log begins: between two commands. */
export interface StretchStart {
  readonly offset: bigint;
  readonly db: number;
}

/**
 * Takes the wanted commands out of stretches of a log and makes a log of them: their bytes as they
 * are, with a SELECT wherever the database changes. MULTI and EXEC go: what a transaction did is what
 * its commands did, and who is fed sees nothing in between.
 *
 * Memory: one chunk, and one command of which it is not known yet whether it is wanted, at most
 * 64 MiB of it, twice when all of it has come; a larger one goes on.
 * @throws FormatError as `CommandDecoder`.
 */
export class CommandFilter {
  readonly writer = new ChunkWriter();
  readonly offsets = new OffsetMap();
  readonly #settings: CommandFilterSettings;
  readonly #onBatch: FilterWatch | undefined;
  #decoder = new CommandDecoder();
  readonly #held = new HeldCommand();
  /** Of the unfinished command: not known yet, or decided. */
  #large: 'open' | 'keep' | 'drop' = 'open';
  #db = -1;
  #written = 0;
  /** The stretch of the present chunk that is to be written: neighbours go together. */
  #chunk: Buffer = Buffer.alloc(0);
  #runFrom = 0;
  #runTo = 0;

  /** @param onBatch - Called with every batch; one is valid until it returns. */
  constructor(settings: CommandFilterSettings, onBatch?: FilterWatch) {
    this.#settings = settings;
    this.#onBatch = onBatch;
  }

  /** Bytes written so far. */
  get written(): number {
    return this.#written;
  }

  /** Offset of the end of the last whole command taken. */
  get commandEnd(): bigint {
    return this.#decoder.commandEnd;
  }

  /** Goes on at another place. What is unfinished is forgotten: nobody wants it. */
  begin(start: StretchStart): void {
    this.end();
    this.#decoder = new CommandDecoder({ ...start, annotations: false });
    this.#held.clear();
    this.#large = 'open';
  }

  /**
   * Ends a stretch.
   * @throws FormatError `TM_AOF_LIMIT` within a command of which a part went on for its size alone.
   */
  end(): void {
    if (this.#large !== 'keep') return;
    const offset = this.#decoder.commandEnd;
    throw new FormatError('TM_AOF_LIMIT', 'a command is too large to tell whether it is wanted', {
      context: { offset, max: HOLD_BYTES_MAX },
    });
  }

  /** Takes the next bytes of the stretch. */
  push(chunk: Buffer): void {
    const decoder = this.#decoder;
    const partialBefore = decoder.partialBytes;
    this.#chunk = chunk;
    this.#runFrom = 0;
    this.#runTo = 0;
    for (const batch of decoder.push(chunk)) {
      this.#onBatch?.(batch);
      if (batch.spanning === null) this.#filterChunk(batch, partialBefore);
      else this.#endSpanning(batch, chunk.subarray(0, (batch.end[0] as number) - partialBefore));
    }
    this.#flushRun();
    const { unfinished, partialBytes } = decoder;
    if (unfinished === null) return;
    this.#held.add(chunk.subarray(Math.max(0, chunk.length - partialBytes)));
    this.#decideLarge(unfinished);
  }

  /** Adds a command of the caller's before what comes next; `db` null: it needs none selected. */
  insert(db: number | null, ...words: readonly string[]): void {
    this.#flushRun();
    if (db !== null) this.#select(db);
    this.#write(encodeCommand(...words));
  }

  #filterChunk(batch: CommandBatch, partialBefore: number): void {
    const { spec, start, end, db, count } = batch;
    const { keep } = this.#settings;
    for (let row = 0; row < count; row += 1) {
      if (COMMANDS[spec[row] as number]?.keys === KEY_RULE.none || !keep(batch, row)) continue;
      const from = (start[row] as number) - partialBefore;
      const rowDb = db[row] as number;
      if (from !== this.#runTo || rowDb !== this.#db || this.#runFrom === this.#runTo) {
        this.#flushRun();
        this.#select(rowDb);
        this.#runFrom = from;
        this.#noteStart(batch.base + BigInt(start[row] as number));
      }
      this.#runTo = (end[row] as number) - partialBefore;
    }
  }

  #flushRun(): void {
    const { length } = this.#chunk;
    if (this.#runFrom < this.#runTo && this.#runTo <= length) {
      this.writer.write(this.#chunk, this.#runFrom, this.#runTo);
      this.#written += this.#runTo - this.#runFrom;
    }
    this.#runFrom = 0;
    this.#runTo = 0;
  }

  #endSpanning(batch: CommandBatch, rest: Buffer): void {
    const held = this.#held;
    held.add(rest);
    if (this.#large === 'open') {
      const none = COMMANDS[batch.spec[0] as number]?.keys === KEY_RULE.none;
      const keep = !none && this.#settings.keep(wholeCommand(batch, held), 0);
      if (keep) this.#beginHeld(batch.db[0] as number, batch.base);
      this.#large = keep ? 'keep' : 'drop';
    }
    this.#passHeld();
    held.clear();
    this.#large = 'open';
  }

  #decideLarge(command: UnfinishedCommand): void {
    const decoder = this.#decoder;
    if (this.#large === 'open' && command.complete > 0) {
      const offset = decoder.commandEnd;
      let keep: boolean | null = false;
      if (COMMANDS[command.spec]?.keys !== KEY_RULE.none) {
        keep = this.#settings.keepLarge(command, decoder.db, offset);
        if (keep === null && this.#held.bytes > HOLD_BYTES_MAX) keep = true;
      }
      if (keep === true) this.#beginHeld(decoder.db, offset);
      if (keep !== null) this.#large = keep ? 'keep' : 'drop';
    }
    if (this.#large !== 'open') this.#passHeld();
  }

  #beginHeld(db: number, offset: bigint): void {
    this.#select(db);
    this.#noteStart(offset);
  }

  #passHeld(): void {
    const held = this.#held;
    if (this.#large === 'drop') held.skipTo(held.end);
    else {
      this.#written += held.bytes;
      held.writeTo(held.end, this.writer);
    }
  }

  #select(db: number): void {
    if (db === this.#db) return;
    this.#db = db;
    this.#write(encodeCommand('SELECT', db.toString()));
  }

  #write(bytes: Buffer): void {
    this.writer.write(bytes);
    this.#written += bytes.length;
  }

  #noteStart(offset: bigint): void {
    this.offsets.note(this.#written, offset);
  }
}

/** A spanning batch with the arguments that were left out for their size, from the bytes held. */
function wholeCommand(batch: CommandBatch, held: HeldCommand): CommandBatch {
  const { spanning, argc, argStart } = batch;
  const count = argc[0] as number;
  if (spanning === null || !argStart.subarray(0, count).includes(-1)) return batch;
  return {
    ...batch,
    data: held.slice(0, held.end),
    argStart: Int32Array.from(spanning.rawStart.subarray(0, count)),
    argEnd: Int32Array.from(spanning.rawEnd.subarray(0, count)),
  };
}
