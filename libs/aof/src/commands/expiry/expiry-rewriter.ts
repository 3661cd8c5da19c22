import type { CommandBatch, RawPositions } from '../../decoder/command-batch.ts';
import { CommandDecoder } from '../../decoder/command-decoder.ts';
import { ChunkWriter } from '../raw/chunk-writer.ts';
import { HeldCommand } from '../raw/held-command.ts';
import { commandInChunk, heldCommand, type RawCommand } from '../raw/raw-command.ts';
import { EditPlan, farFields, planExpiry, type Edit } from './command-edits.ts';
import { EXPIRY_KIND, EXPIRY_KIND_OF_SPEC, ExpirySite, isOfFields } from './expiry-site.ts';
import { LargeCommand } from './large-command.ts';
import type { ExpiryRule } from './new-expiry.ts';

/** What the rewriter is told beside the rule. */
export interface RewriterSettings {
  readonly rule: ExpiryRule;
  readonly guardFieldPersist: boolean;
  /** Bytes of one unfinished command that may be held back. */
  readonly holdBytesMax: number;
  readonly bulkBytesMax: number;
}

/**
 * Rewrites the expiries in a command log, chunk by chunk.
 *
 * Commands inside a chunk are edited in place. The bytes of a command that spans chunks are held
 * back until it is whole, so that its first line can still change; beyond `holdBytesMax`
 * `LargeCommand` decides what may go out early.
 */
export class ExpiryRewriter {
  readonly writer = new ChunkWriter();
  /** Commands met since the last `takeRelative` whose time is relative; they are left as they are. */
  private relative = 0;
  private readonly settings: RewriterSettings;
  private readonly decoder: CommandDecoder;
  private readonly site = new ExpirySite();
  private readonly held = new HeldCommand();
  private readonly large: LargeCommand;

  constructor(settings: RewriterSettings) {
    this.settings = settings;
    this.decoder = new CommandDecoder({ bulkBytesMax: settings.bulkBytesMax });
    this.large = new LargeCommand(settings, this.held, this.writer);
  }

  takeRelative(): number {
    const count = this.relative;
    this.relative = 0;
    return count;
  }

  push(chunk: Buffer): void {
    const partialBefore = this.decoder.partialBytes;
    let cursor = 0;
    for (const batch of this.decoder.push(chunk)) {
      if (batch.spanning === null) cursor = this.rewriteChunk(batch, chunk, cursor);
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
    this.large.relieve(unfinished, this.decoder.commandEnd);
  }

  end(): void {
    this.decoder.end();
  }

  /** Writes the chunk up to its last edit, edits applied; returns how far. */
  private rewriteChunk(batch: CommandBatch, chunk: Buffer, from: number): number {
    let cursor = from;
    for (let row = 0; row < batch.count; row += 1) {
      const spec = batch.spec[row] as number;
      const kind = EXPIRY_KIND_OF_SPEC[spec];
      if (kind === EXPIRY_KIND.none) continue;
      const argc = batch.argc[row] as number;
      if (kind === EXPIRY_KIND.set && argc === 3) continue;
      const at = batch.argAt[row] as number;
      if (!this.concerns(batch, at, argc, spec)) continue;
      const digits = this.digitsOnly(batch, at);
      if (digits !== null) {
        const timeRow = at + this.site.timeArg;
        this.writer.write(chunk, cursor, batch.argStart[timeRow]);
        this.writer.writeText(digits);
        cursor = batch.argEnd[timeRow] as number;
        continue;
      }
      for (const edit of this.plan(commandInChunk(batch, row))) {
        this.writer.write(chunk, cursor, edit.from);
        this.writer.write(edit.bytes);
        cursor = edit.to;
      }
    }
    return cursor;
  }

  /** The new time, when it takes the place of the old one digit by digit: the common case. */
  private digitsOnly(batch: CommandBatch, at: number): string | null {
    const { site } = this;
    if (site.kind === EXPIRY_KIND.fieldPersist || site.seconds) return null;
    const { rule } = this.settings;
    if (site.conditionsEnd > 0) return null;
    const timeMs = newTime(rule, site);
    if (timeMs === null || timeMs === site.timeMs) return null;
    const row = at + site.timeArg;
    const digits = String(timeMs);
    const width = (batch.argEnd[row] as number) - (batch.argStart[row] as number);
    return digits.length === width ? digits : null;
  }

  private endSpanning(batch: CommandBatch, positions: RawPositions): void {
    const { held } = this;
    const argc = batch.argc[0] as number;
    const concerns = this.concerns(batch, 0, argc, batch.spec[0] as number);
    if (this.large.active) this.large.finish(batch, positions, concerns ? this.site : null);
    else {
      for (const edit of concerns ? this.plan(heldCommand(positions, argc, held)) : []) {
        held.writeTo(edit.from, this.writer);
        this.writer.write(edit.bytes);
        held.skipTo(edit.to);
      }
      held.writeTo(held.end, this.writer);
    }
    held.clear();
  }

  /** Whether the command is to be planned for; counts those with a relative time. */
  private concerns(batch: CommandBatch, at: number, argc: number, spec: number): boolean {
    const { site } = this;
    const found = site.find(batch, at, argc, spec);
    if (found && site.relative) this.relative += 1;
    if (site.kind === EXPIRY_KIND.fieldPersist) return this.settings.guardFieldPersist && argc > 2;
    if (site.kind === EXPIRY_KIND.fieldTime && site.fieldsArg === 0) return false;
    return found && (!site.relative || this.large.active);
  }

  private plan(command: RawCommand): readonly Edit[] {
    const { site } = this;
    const { rule, guardFieldPersist } = this.settings;
    if (site.kind === EXPIRY_KIND.fieldPersist) return [guard(command, 2)];
    const timeMs = newTime(rule, site);
    if (timeMs === site.timeMs) return this.planUnchanged(command);
    const edits = planExpiry(command, site, timeMs, rule.droppedConditions(site));
    const persists = timeMs === null && site.kind === EXPIRY_KIND.fieldTime;
    return persists && guardFieldPersist ? [guard(command, site.fieldsArg), ...edits] : edits;
  }

  /**
   * Only commands that took effect are logged, so an `XX` that would now find no expiry, because
   * that was removed, is left out; so is every condition where times may change places.
   */
  private planUnchanged(command: RawCommand): readonly Edit[] {
    const { conditionXxArg } = this.site;
    const { rule } = this.settings;
    const plan = new EditPlan(command);
    const dropEnd = rule.droppedConditions(this.site);
    if (dropEnd > 0) plan.remove(3, dropEnd);
    else if (rule.removes && conditionXxArg > 0) plan.remove(conditionXxArg, conditionXxArg + 1);
    return plan.finish();
  }
}

/** The new time of a command, under the limit of what it is given to. */
function newTime(rule: ExpiryRule, site: ExpirySite): number | null {
  return isOfFields(site.kind) ? rule.applyToField(site.timeMs) : rule.apply(site.timeMs);
}

/** Puts a far expiry on the fields first: see `RewriteExpiryOptions.guardFieldPersist`. */
function guard(command: RawCommand, fieldsArg: number): Edit {
  return { from: command.start, to: command.start, bytes: farFields(command, fieldsArg) };
}
