import { FormatError, PlanError } from '@tidemark/core';
import type { CommandBatch, RawPositions, UnfinishedCommand } from '../../decoder/command-batch.ts';
import { CommandDecoder } from '../../decoder/command-decoder.ts';
import { COMMANDS, SPEC_UNKNOWN } from '../command-table.ts';
import { ChunkWriter } from '../raw/chunk-writer.ts';
import { HeldCommand } from '../raw/held-command.ts';
import { commandInChunk, heldCommand } from '../raw/raw-command.ts';
import { CommandView, MissingArgument, type CommandPlace } from './command-view.ts';
import { Refusal, type Outcome, type Rule } from './rule.ts';
import { nameDialect, type TargetDialect } from './target-dialect.ts';
import { UnknownNames, type UnknownName } from './unknown-names.ts';

/** What the adapter is told. */
export interface AdapterSettings {
  readonly dialect: TargetDialect;
  /** The rule of each command of `COMMANDS`, by its index. */
  readonly rules: readonly (Rule | null)[];
  /** Stream offset and database of the first byte. */
  readonly offset: bigint;
  readonly db: number;
  /** The offset that is told for one of the stream. */
  readonly sourceOffset: (offset: bigint) => bigint;
  readonly onBatch: (batch: CommandBatch) => void;
  /** Told the name of each command that others took the place of, or none. */
  readonly onChange: (name: string) => void;
  /** Bytes of one unfinished command that are held back at most. */
  readonly holdBytesMax: number;
}

/** `open`: not decided yet, its bytes are held; `pass`: they go out as they come; `drop`: nowhere. */
type Mode = 'open' | 'pass' | 'drop';

/**
 * Changes a command log for a target, chunk by chunk: most of it passes without a copy.
 *
 * A command that spans chunks and may have to change is held back until it is whole; one over
 * `holdBytesMax` only passes when its first arguments tell that nothing is to be done.
 */
export class CommandAdapter {
  readonly writer = new ChunkWriter();
  private readonly settings: AdapterSettings;
  private readonly decoder: CommandDecoder;
  private readonly held = new HeldCommand();
  private mode: Mode = 'open';
  private readonly unknown = new UnknownNames();

  constructor(settings: AdapterSettings) {
    this.settings = settings;
    const { offset, db } = settings;
    this.decoder = new CommandDecoder({ offset, db, annotations: false });
  }

  push(chunk: Buffer): void {
    const partialBefore = this.decoder.partialBytes;
    let cursor = 0;
    for (const batch of this.decoder.push(chunk)) {
      this.settings.onBatch(batch);
      if (batch.spanning === null) cursor = this.adaptChunk(batch, chunk, cursor);
      else {
        cursor = (batch.end[0] as number) - partialBefore;
        this.held.add(chunk.subarray(0, cursor));
        this.endSpanning(batch, batch.spanning);
      }
    }
    const { unfinished, partialBytes } = this.decoder;
    if (unfinished === null) {
      this.writer.write(chunk, cursor);
      return;
    }
    const from = Math.max(chunk.length - partialBytes, 0);
    this.writer.write(chunk, cursor, from);
    this.held.add(chunk.subarray(from));
    this.relieve(unfinished);
  }

  /** A server that was fed half a transaction holds its acknowledgement back: it would be waited for. */
  end(): void {
    this.decoder.end();
    if (!this.decoder.inMulti) return;
    throw new FormatError('TM_AOF_TRUNCATED', 'the log ends within a transaction', {
      context: {
        offset: this.settings.sourceOffset(this.decoder.boundary),
        within: 'transaction',
      },
    });
  }

  /** Names met since the last call, for the first time, that no release of a server has. */
  takeUnknown(): readonly UnknownName[] {
    return this.unknown.take();
  }

  /** @throws PlanError `TM_TARGET_COMMAND`. */
  refuseUnknown({ name, offset }: UnknownName): never {
    this.refuse(new Refusal('the target does not know this command'), name, offset);
  }

  /** Writes the chunk up to its last changed command; returns how far. */
  private adaptChunk(batch: CommandBatch, chunk: Buffer, from: number): number {
    const { rules } = this.settings;
    const { spec, count } = batch;
    let cursor = from;
    for (let row = 0; row < count; row += 1) {
      const rule = rules[spec[row] as number];
      const at = batch.argAt[row] as number;
      if (spec[row] === SPEC_UNKNOWN) this.unknown.note(batch, at, () => this.startOf(batch, row));
      if (rule === null || rule === undefined) continue;
      const argc = batch.argc[row] as number;
      if (rule.passes?.(batch, at, argc) === true) continue;
      const raw = (): ReturnType<typeof commandInChunk> => commandInChunk(batch, row);
      const offset = (): bigint => this.startOf(batch, row);
      const place: CommandPlace = { columns: batch, at, argc, offset, raw };
      const outcome = this.decide(rule, place, spec[row] as number);
      if (outcome === null) continue;
      const { start, contentEnd } = raw();
      this.writer.write(chunk, cursor, start);
      for (const command of outcome) this.writer.write(command);
      cursor = (contentEnd[at + argc - 1] as number) + 2;
    }
    return cursor;
  }

  private endSpanning(batch: CommandBatch, positions: RawPositions): void {
    const { held, mode, writer } = this;
    this.mode = 'open';
    const spec = batch.spec[0] as number;
    const rule = this.settings.rules[spec] ?? null;
    if (spec === SPEC_UNKNOWN) this.unknown.note(batch, 0, () => this.startOf(batch, 0));
    const argc = batch.argc[0] as number;
    const offset = (): bigint => this.startOf(batch, 0);
    const raw = (): ReturnType<typeof heldCommand> => heldCommand(positions, argc, held);
    const place: CommandPlace = { columns: batch, at: 0, argc, offset, raw };
    const passes = rule === null || mode !== 'open' || rule.passes?.(batch, 0, argc) === true;
    const outcome = passes ? null : this.decide(rule, place, spec);
    if (mode === 'drop') held.skipTo(held.end);
    else if (outcome === null) held.writeTo(held.end, writer);
    else for (const command of outcome) writer.write(command);
    held.clear();
  }

  /** Lets out what need not be held. */
  private relieve(command: UnfinishedCommand): void {
    if (this.mode === 'open') this.mode = this.modeOf(command);
    if (this.mode === 'pass') this.held.writeTo(this.held.end, this.writer);
    if (this.mode === 'drop') this.held.skipTo(this.held.end);
  }

  private modeOf(command: UnfinishedCommand): Mode {
    if (command.complete === 0) return 'open'; // its name is not known yet
    if (command.spec === SPEC_UNKNOWN) {
      this.unknown.note(command, 0, () => this.unfinishedStart());
    }
    const rule = this.settings.rules[command.spec] ?? null;
    if (rule === null) return 'pass';
    const looksAt = rule.passesBy ?? 1;
    if (command.complete >= looksAt && rule.passes?.(command, 0, command.argc) === true)
      return 'pass';
    if (this.held.bytes <= this.settings.holdBytesMax) return 'open';
    if (rule.passesLarge === true) return 'pass';
    const raw = (): ReturnType<typeof heldCommand> =>
      heldCommand(command, command.complete, this.held);
    const offset = (): bigint => this.unfinishedStart();
    const place: CommandPlace = { columns: command, at: 0, argc: command.complete, offset, raw };
    const needed = rule.decidedBy?.(new CommandView(place)) ?? Number.NaN;
    if (needed <= command.complete) {
      const outcome = this.decide(rule, place, command.spec);
      if (outcome === null) return 'pass';
      if (outcome.length === 0) return 'drop';
    }
    throw new FormatError('TM_AOF_LIMIT', 'a command too large to change it for the target', {
      context: {
        offset: offset(),
        command: COMMANDS[command.spec]?.name ?? '',
        max: this.settings.holdBytesMax,
      },
      hint: 'restore into a server of the same product, at least as new as the source',
    });
  }

  private startOf(batch: CommandBatch, row: number): bigint {
    return this.settings.sourceOffset(batch.base + BigInt(batch.start[row] as number));
  }

  private unfinishedStart(): bigint {
    return this.settings.sourceOffset(this.decoder.commandEnd);
  }

  private decide(rule: Rule, place: CommandPlace, spec: number): Exclude<Outcome, Refusal> {
    const outcome = decideWellFormed(rule, place);
    const name = COMMANDS[spec]?.name ?? '';
    if (outcome instanceof Refusal) this.refuse(outcome, name, place.offset());
    if (outcome !== null) this.settings.onChange(name);
    return outcome;
  }

  private refuse(refusal: Refusal, name: string, offset: bigint): never {
    const { dialect } = this.settings;
    const command = name.toUpperCase();
    throw new PlanError(
      refusal.databases ? 'TM_TARGET_DATABASES' : 'TM_TARGET_COMMAND',
      `the target (${nameDialect(dialect)}) cannot run ${command} at offset ${offset.toString()}: ` +
        refusal.reason,
      {
        context: {
          command,
          offset,
          product: dialect.product,
          version: dialect.versionNumber,
          reason: refusal.reason,
        },
        hint: refusal.databases
          ? 'set "databases" in its configuration file as high as the source has it'
          : `restore to an earlier point (--offset ${offset.toString()}), or into a server that has it`,
      },
    );
  }
}

const MALFORMED = new Refusal('it is not well formed');

function decideWellFormed(rule: Rule, place: CommandPlace): Outcome {
  try {
    return rule.decide(new CommandView(place));
  } catch (error) {
    if (error instanceof MissingArgument) return MALFORMED;
    throw error;
  }
}
