import { FormatError } from '@tidemark/core';
import type { CommandBatch, RawPositions, UnfinishedCommand } from '../../decoder/command-batch.ts';
import { argumentInteger, argumentIs, keyword } from '../arguments.ts';
import { COMMANDS } from '../command-table.ts';
import type { ChunkWriter } from '../raw/chunk-writer.ts';
import type { HeldCommand } from '../raw/held-command.ts';
import { encodeArgument, encodeCommand, heldCommand, rawFrom, rawTo } from '../raw/raw-command.ts';
import { EditPlan, planExpiry, type Edit } from './command-edits.ts';
import {
  EXPIRY_KIND,
  EXPIRY_KIND_OF_SPEC,
  ExpirySite,
  mSetExOptions,
  type ExpiryKind,
} from './expiry-site.ts';
import { FAR_FUTURE_MS } from './far-future.ts';
import type { ExpiryRule } from './new-expiry.ts';

const TIME_OPTIONS = ['pxat', 'exat', 'px', 'ex'].map(keyword);

/** `idle`: nothing large; `pass`: bytes go out as they come; `payload`: up to the options. */
type Mode = 'idle' | 'pass' | 'payload';

/** What decides about large commands. */
export interface LargeSettings {
  readonly rule: ExpiryRule;
  readonly guardFieldPersist: boolean;
  readonly holdBytesMax: number;
}

/**
 * A command of which more came than is held back. Its first line is out before its options are
 * known, so it keeps its argument count; where the expiry must go, a command after it takes it.
 *
 * - SET, MSETEX: everything up to the last value goes out; then the time is changed, or put to the
 *   far future and followed by PERSIST.
 * - RESTORE: goes out without a TTL (`0`), followed by PEXPIREAT, by PEXPIRE if the TTL turns out
 *   to be relative, or by nothing.
 * - Hash commands: their time stands before the fields, so they are edited as usual.
 */
export class LargeCommand {
  private mode: Mode = 'idle';
  private payloadArg = 0;
  /** Commands that follow the large one. */
  private appended: Buffer[] = [];
  private readonly settings: LargeSettings;
  private readonly held: HeldCommand;
  private readonly writer: ChunkWriter;
  private readonly site = new ExpirySite();

  constructor(settings: LargeSettings, held: HeldCommand, writer: ChunkWriter) {
    this.settings = settings;
    this.held = held;
    this.writer = writer;
  }

  get active(): boolean {
    return this.mode !== 'idle';
  }

  /**
   * Lets out what need not be held, if too much is held.
   * @param offset - Stream offset of the command, for the error.
   * @throws FormatError `TM_AOF_LIMIT` when what must be held is over `holdBytesMax`.
   */
  relieve(command: UnfinishedCommand, offset: bigint): void {
    if (this.mode === 'idle') {
      if (this.held.bytes <= this.settings.holdBytesMax) return;
      this.mode = this.decide(command, offset);
    }
    if (this.mode === 'pass') this.held.writeTo(this.held.end, this.writer);
    else this.releasePayload(command, offset);
  }

  /** The command is whole; `site` is its expiry, if it has one. */
  finish(batch: CommandBatch, positions: RawPositions, site: ExpirySite | null): void {
    const { held, writer, mode } = this;
    this.mode = 'idle';
    if (mode === 'payload' && site !== null) {
      if (site.kind === EXPIRY_KIND.restore) this.finishRestore(batch, site);
      else if (!site.relative) this.finishSet(batch, positions, site);
    }
    held.writeTo(held.end, writer);
    for (const command of this.appended) writer.write(command);
    this.appended = [];
  }

  private decide(command: UnfinishedCommand, offset: bigint): Mode {
    const kind = EXPIRY_KIND_OF_SPEC[command.spec] as ExpiryKind;
    switch (kind) {
      case EXPIRY_KIND.none:
      case EXPIRY_KIND.relative:
        return 'pass';
      case EXPIRY_KIND.fieldPersist:
        return this.settings.guardFieldPersist ? this.refuse(command, offset) : 'pass';
      case EXPIRY_KIND.set:
        this.payloadArg = 2;
        return 'payload';
      case EXPIRY_KIND.mSetEx:
        if (command.complete < 2) return this.refuse(command, offset);
        this.payloadArg = mSetExOptions(command, 0, command.argc) - 1;
        return this.payloadArg < command.argc ? 'payload' : 'pass';
      case EXPIRY_KIND.restore:
        return this.beginRestore(command, offset);
      case EXPIRY_KIND.fieldTime:
      case EXPIRY_KIND.hSetEx:
      case EXPIRY_KIND.hGetEx:
        return this.editPrefix(command, offset);
      default:
        return this.refuse(command, offset);
    }
  }

  private refuse(command: UnfinishedCommand, offset: bigint): never {
    throw new FormatError('TM_AOF_LIMIT', 'a command too large to change its expiry', {
      context: {
        offset,
        command: COMMANDS[command.spec]?.name ?? '',
        max: this.settings.holdBytesMax,
      },
      hint: 'raise holdBytesMax, or restore with absolute expiries',
    });
  }

  private beginRestore(command: UnfinishedCommand, offset: bigint): Mode {
    if (command.complete < 3) return this.refuse(command, offset);
    const time = argumentInteger(command, 2);
    if (!(time > 0) || this.settings.rule.apply(time) === time) return 'pass';
    const raw = heldCommand(command, command.argc, this.held);
    this.apply({ from: rawFrom(raw, 2), to: rawTo(raw, 2), bytes: encodeArgument('0') });
    this.payloadArg = 3;
    return 'payload';
  }

  private editPrefix(command: UnfinishedCommand, offset: bigint): Mode {
    const { site } = this;
    const { rule, guardFieldPersist } = this.settings;
    const found = site.find(command, 0, command.complete, command.spec);
    const { fieldsArg } = site;
    if (fieldsArg === 0 || fieldsArg + 1 >= command.complete) return this.refuse(command, offset);
    const width = site.kind === EXPIRY_KIND.hSetEx ? 2 : 1;
    const end = fieldsArg + 2 + argumentInteger(command, fieldsArg + 1) * width;
    // Options may follow the fields: those are out of reach.
    if (end !== command.argc) return this.refuse(command, offset);
    if (!found || site.relative) return 'pass';
    const timeMs = rule.applyToField(site.timeMs);
    const dropEnd = rule.droppedConditions(site);
    if (timeMs === site.timeMs && dropEnd === 0) return 'pass';
    const fieldTime = site.kind === EXPIRY_KIND.fieldTime;
    if (timeMs === null && fieldTime && guardFieldPersist) return this.refuse(command, offset);
    const raw = heldCommand(command, command.argc, this.held);
    for (const edit of planExpiry(raw, site, timeMs, dropEnd)) this.apply(edit);
    return 'pass';
  }

  private apply(edit: Edit): void {
    this.held.writeTo(edit.from, this.writer);
    this.writer.write(edit.bytes);
    this.held.skipTo(edit.to);
  }

  private releasePayload(command: UnfinishedCommand, offset: bigint): void {
    const { held, writer, payloadArg } = this;
    const { complete } = command;
    if (complete < payloadArg || (complete === payloadArg && !command.inContent)) {
      held.writeTo(held.end, writer);
      return;
    }
    held.writeTo(Math.min(rawTo(heldCommand(command, 0, held), payloadArg), held.end), writer);
    if (held.bytes <= this.settings.holdBytesMax) return;
    // A large operand of an option such as IFEQ. It can go unless a time was met before it.
    const last = complete - 1;
    const timed = TIME_OPTIONS.some((option) => argumentIs(command, last, option));
    if (timed || this.site.find(command, 0, complete, command.spec)) this.refuse(command, offset);
    held.writeTo(held.end, writer);
  }

  private finishRestore(batch: CommandBatch, site: ExpirySite): void {
    const key = this.key(batch, 1);
    if (site.relative) {
      this.appended.push(encodeCommand('PEXPIRE', key, String(site.timeMs)));
      return;
    }
    const timeMs = this.settings.rule.apply(site.timeMs);
    if (timeMs !== null) this.appended.push(encodeCommand('PEXPIREAT', key, String(timeMs)));
  }

  private finishSet(batch: CommandBatch, positions: RawPositions, site: ExpirySite): void {
    const timeMs = this.settings.rule.apply(site.timeMs);
    if (timeMs === site.timeMs) return;
    const argc = batch.argc[0] as number;
    const plan = new EditPlan(heldCommand(positions, argc, this.held));
    plan.replace(site.optionArg, 'PXAT');
    plan.replace(site.timeArg, String(timeMs ?? FAR_FUTURE_MS));
    for (const edit of plan.finish()) this.apply(edit);
    if (timeMs !== null) return;
    const many = site.kind === EXPIRY_KIND.mSetEx;
    const end = many ? mSetExOptions(batch, 0, argc) : 2;
    for (let index = many ? 2 : 1; index < end; index += 2) {
      this.appended.push(encodeCommand('PERSIST', this.key(batch, index)));
    }
  }

  private key(batch: CommandBatch, index: number): Buffer {
    const start = batch.argStart[index] as number;
    if (start >= 0) return batch.data.subarray(start, batch.argEnd[index]);
    throw new FormatError('TM_AOF_LIMIT', 'a large command whose key is large too', {
      context: { offset: batch.base },
    });
  }
}
