import { TidemarkError } from '@tidemark/core';
import { makeAgain } from './reproduce.ts';

/** What we say of an input: `null` = accepted, else the fault. */
export type Verdict = TidemarkError | null;

/** Runs a check; only a typed error is a refusal. */
export function verdictOf(check: () => void): Verdict {
  try {
    check();
    return null;
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return error;
  }
}

/** Counts of what two checkers say of the same inputs. */
export interface Comparison {
  readonly bothAccept: number;
  readonly bothRefuse: number;
  /** Only we refuse it, for a reason of the list: reason to count. */
  readonly onlyWeRefuse: Readonly<Record<string, number>>;
  /** Only we accept it, for a reason of the list: reason to count. */
  readonly onlyWeAccept: Readonly<Record<string, number>>;
  /** Differences with no reason in a list: index, what we say, and how to make the input again. */
  readonly unexplained: readonly string[];
  /** Our codes for what both refuse. */
  readonly codes: Readonly<Record<string, number>>;
}

/** Why we may differ from a peer on an input; `null` = there is no reason. */
export interface Reasons {
  readonly refused: (fault: TidemarkError) => string | null;
  readonly accepted: (input: Uint8Array) => string | null;
  /** What an input is: where it comes from, what was changed. */
  readonly about?: (at: number) => string;
}

/** Of so many inputs the bytes are told, which differ from run to run. */
const MADE_AGAIN = 5;

const add = (counts: Record<string, number>, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
};

const whatWeSay = (fault: Verdict): string =>
  fault === null
    ? 'only we accept'
    : `only we refuse: ${fault.code} ${fault.message} ${JSON.stringify(fault.context)}`;

/** Compares verdicts, input by input. */
export function compareVerdicts(
  inputs: readonly Uint8Array[],
  ours: readonly Verdict[],
  peer: readonly boolean[],
  reasons: Reasons,
): Comparison {
  const [refused, accepted, codes] = [{}, {}, {}] as Record<string, number>[];
  const unexplained: string[] = [];
  let [bothAccept, bothRefuse] = [0, 0];
  inputs.forEach((input, at) => {
    const fault = ours[at] ?? null;
    if (peer[at] === true && fault === null) bothAccept += 1;
    else if (peer[at] !== true && fault !== null) {
      bothRefuse += 1;
      add(codes as Record<string, number>, fault.code);
    } else {
      const reason = fault === null ? reasons.accepted(input) : reasons.refused(fault);
      if (reason === null) {
        const lines = [`${at}: ${whatWeSay(fault)}`];
        if (reasons.about !== undefined) lines.push(reasons.about(at));
        if (unexplained.length < MADE_AGAIN) lines.push(makeAgain(input));
        unexplained.push(lines.join('\n'));
      } else add((fault === null ? accepted : refused) as Record<string, number>, reason);
    }
  });
  return {
    ...{ bothAccept, bothRefuse, unexplained },
    onlyWeRefuse: refused ?? {},
    onlyWeAccept: accepted ?? {},
    codes: codes ?? {},
  };
}
