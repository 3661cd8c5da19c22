import {
  encodeArgument,
  encodeCount,
  rawFrom,
  rawTo,
  type RawCommand,
} from '../raw/raw-command.ts';
import { EXPIRY_KIND, type ExpirySite } from './expiry-site.ts';

/** A time beyond any other for hash fields: Redis keeps 46 bits of it (redis src/server.h, HFE_MAX_ABS_TIME_MSEC). */
const FIELD_FAR_FUTURE_MS = 2 ** 46 - 1;

/** Replaces the raw bytes `[from, to)` of a command. */
export interface Edit {
  readonly from: number;
  readonly to: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);

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

/**
 * The edits that give the command at `site` the time `timeMs`, or none at all when null.
 * @param dropEnd - Conditions up to this argument are left out (`ExpiryRule.droppedConditions`).
 */
export function planExpiry(
  command: RawCommand,
  site: ExpirySite,
  timeMs: number | null,
  dropEnd: number,
): readonly Edit[] {
  const plan = new EditPlan(command);
  if (timeMs === null) planPersist(plan, command, site);
  else {
    planTime(plan, site, timeMs);
    plan.remove(3, dropEnd);
  }
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
    encodeArgument(String(FIELD_FAR_FUTURE_MS)),
    fields,
  ]);
}
