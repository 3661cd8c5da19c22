import type { CommandBatch, RawPositions } from '../../decoder/command-batch.ts';
import { EXPIRY_KIND, type ExpirySite } from './expiry-site.ts';
import type { HeldCommand } from './held-command.ts';

/** A time beyond any other, within what the servers take for keys and hash fields (year 9999). */
export const FAR_FUTURE_MS = 253_402_300_799_999;

/** Replaces the raw bytes `[from, to)` of a command. */
export interface Edit {
  readonly from: number;
  readonly to: number;
  readonly bytes: Buffer;
}

/** A whole command with the raw positions of its parts, all in one space of positions. */
export interface RawCommand {
  /** Row of the first argument in `contentEnd`. */
  readonly at: number;
  readonly argc: number;
  /** Position of the `*`. */
  readonly start: number;
  /** Position after the line with the count. */
  readonly headerEnd: number;
  /** End of the content of each argument, exclusive, from row `at` on. */
  readonly contentEnd: Float64Array | Int32Array;
  /** Raw bytes of a range. */
  slice(from: number, to: number): Buffer;
}

const NOTHING = Buffer.alloc(0);
const CRLF_BYTES = 2;
const STAR = 0x2a;
const DOLLAR = 0x24;

/** A command that lies in a chunk: raw positions are positions in the chunk. */
export function commandInChunk(batch: CommandBatch, row: number): RawCommand {
  const { data } = batch;
  const at = batch.argAt[row] as number;
  const headerEnd = data.lastIndexOf(DOLLAR, (batch.argStart[at] as number) - CRLF_BYTES);
  return {
    at,
    argc: batch.argc[row] as number,
    start: data.lastIndexOf(STAR, headerEnd),
    headerEnd,
    contentEnd: batch.argEnd,
    slice: (from, to) => data.subarray(from, to),
  };
}

/** A command whose raw bytes are held: raw positions count from its first byte. */
export function heldCommand(positions: RawPositions, argc: number, held: HeldCommand): RawCommand {
  return {
    at: 0,
    argc,
    start: 0,
    headerEnd: positions.headerBytes,
    contentEnd: positions.rawEnd,
    slice: (from, to) => held.slice(from, to),
  };
}

/** An argument as RESP. */
export function encodeArgument(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return Buffer.concat([
    Buffer.from(`$${bytes.length}\r\n`, 'latin1'),
    bytes,
    Buffer.from('\r\n', 'latin1'),
  ]);
}

/** A command as RESP. */
export function encodeCommand(...args: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([encodeCount(args.length), ...args.map(encodeArgument)]);
}

function encodeCount(argc: number): Buffer {
  return Buffer.from(`*${argc}\r\n`, 'latin1');
}

/** Raw position of argument `index`, its length line included. */
export function rawFrom(command: RawCommand, index: number): number {
  return index === 0 ? command.headerEnd : rawTo(command, index - 1);
}

/** Raw position after argument `index` and its CR LF. */
export function rawTo(command: RawCommand, index: number): number {
  return (command.contentEnd[command.at + index] as number) + CRLF_BYTES;
}

/** Collects the edits of one command, in ascending order. */
export class EditPlan {
  private readonly command: RawCommand;
  private readonly edits: Edit[] = [];
  private removed = 0;

  constructor(command: RawCommand) {
    this.command = command;
  }

  replace(index: number, content: string): void {
    const { command } = this;
    this.edits.push({
      from: rawFrom(command, index),
      to: rawTo(command, index),
      bytes: encodeArgument(content),
    });
  }

  /** Removes arguments `first` up to `end`, exclusive. */
  remove(first: number, end: number): void {
    if (first >= end) return;
    const { command } = this;
    this.edits.push({
      from: rawFrom(command, first),
      to: rawTo(command, end - 1),
      bytes: NOTHING,
    });
    this.removed += end - first;
  }

  finish(): readonly Edit[] {
    if (this.removed === 0) return this.edits;
    const { start, headerEnd, argc } = this.command;
    const count = encodeCount(argc - this.removed);
    return [{ from: start, to: headerEnd, bytes: count }, ...this.edits];
  }
}

/** The edits that give the command at `site` the time `timeMs`, or none at all when null. */
export function planExpiry(
  command: RawCommand,
  site: ExpirySite,
  timeMs: number | null,
): readonly Edit[] {
  const plan = new EditPlan(command);
  if (timeMs === null) planPersist(plan, command, site);
  else planTime(plan, site, timeMs);
  return plan.finish();
}

function planTime(plan: EditPlan, site: ExpirySite, timeMs: number): void {
  if (site.seconds) {
    if (site.kind === EXPIRY_KIND.keyTime) plan.replace(0, 'PEXPIREAT');
    else if (site.kind === EXPIRY_KIND.fieldTime) plan.replace(0, 'HPEXPIREAT');
    else plan.replace(site.optionArg, 'PXAT');
  }
  plan.replace(site.timeArg, String(timeMs));
}

function planPersist(plan: EditPlan, command: RawCommand, site: ExpirySite): void {
  switch (site.kind) {
    case EXPIRY_KIND.keyTime:
      plan.replace(0, 'PERSIST');
      plan.remove(2, command.argc);
      break;
    case EXPIRY_KIND.fieldTime:
      plan.replace(0, 'HPERSIST');
      plan.remove(2, site.fieldsArg);
      break;
    case EXPIRY_KIND.getEx:
    case EXPIRY_KIND.hGetEx:
      plan.replace(site.optionArg, 'PERSIST');
      plan.remove(site.timeArg, site.timeArg + 1);
      break;
    case EXPIRY_KIND.restore:
      plan.replace(site.timeArg, '0');
      plan.remove(site.optionArg, site.optionArg + 1);
      break;
    default:
      plan.remove(site.optionArg, site.timeArg + 1);
  }
}

/**
 * `HPEXPIREAT key far FIELDS n field ...` over the same fields as a command that has
 * `FIELDS n field ...` from argument `fieldsArg` to its end.
 */
export function farFields(command: RawCommand, fieldsArg: number): Buffer {
  const fields = command.slice(rawFrom(command, fieldsArg), rawTo(command, command.argc - 1));
  return Buffer.concat([
    encodeCount(3 + command.argc - fieldsArg),
    encodeArgument('HPEXPIREAT'),
    command.slice(rawFrom(command, 1), rawTo(command, 1)),
    encodeArgument(String(FAR_FUTURE_MS)),
    fields,
  ]);
}
