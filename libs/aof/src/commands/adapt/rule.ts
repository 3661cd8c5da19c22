import type { ArgumentColumns } from '../../decoder/command-batch.ts';
import type { CommandView } from './command-view.ts';

/** Why a target cannot run a command, for people. */
export class Refusal {
  readonly reason: string;
  /** Whether the number of databases is the reason. */
  readonly databases: boolean;

  constructor(reason: string, databases = false) {
    this.reason = reason;
    this.databases = databases;
  }
}

/**
 * What becomes of a command: `null` = it goes as it is; buffers = these commands go in its place,
 * none at all when it is left out; or it cannot be run.
 */
export type Outcome = null | readonly Buffer[] | Refusal;

/** How the commands of one name are treated for one target. */
export interface Rule {
  readonly decide: (command: CommandView) => Outcome;
  /**
   * Answers at once for most commands of the name that nothing is to be done; default: never.
   * @param at - Row of the command's first argument.
   */
  readonly passes?: (columns: ArgumentColumns, at: number, argc: number) => boolean;
  /** How many arguments `passes` looks at, the name included; default 1: none but the count. */
  readonly passesBy?: number;
  /**
   * How many arguments tell everything, so that the rest of a large command need not be held; default
   * all of them. NaN while it cannot be told.
   */
  readonly decidedBy?: (command: CommandView) => number;
  /** A command too large to be held may pass: its writer knows none of the forms that change. */
  readonly passesLarge?: boolean;
}

/** Leaves the command out: it has no effect on a dataset. */
export const LEAVE_OUT: Rule = { decide: () => [], decidedBy: () => 1 };

/** Refuses every command of the name. */
export function refuseAlways(reason: string): Rule {
  const refusal = new Refusal(reason);
  return { decide: () => refusal, decidedBy: () => 1 };
}
