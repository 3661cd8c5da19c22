/**
 * A step of the server's clock within a timeline: a second that it showed before may come again
 * after it (`back`), or seconds were never shown (`forward`). Times in Unix milliseconds.
 *
 * Where and when a step happened is known within bounds only: between two marks.
 */
export interface ClockStep {
  readonly direction: 'back' | 'forward';
  /** Commands before this offset ran before the step. */
  readonly before: bigint;
  /** Commands at or after this offset ran after it; equal to `before` when none ran between. */
  readonly offset: bigint;
  /** The time that the clock showed at `before`, and the latest that it may have shown after. */
  readonly untilMs: number;
  readonly fromMs: number;
  /** The earliest time that it may have shown after the step, and that which it showed at `offset`. */
  readonly toMs: number;
  readonly sinceMs: number;
  /** The latest second proven before a step back; null = none, or a step forward. */
  readonly provenTo: number | null;
}

/** Whole Unix seconds, both ends inclusive. */
export interface SecondRange {
  readonly from: number;
  readonly to: number;
}

/**
 * A part of a timeline in which the clock never stepped back: its seconds pass once and in order,
 * some of them jumped over by steps forward.
 */
export interface Stretch {
  /** How many steps back lie before it in the timeline. */
  readonly index: number;
  /** The step back that ended it; null = it goes on, or its timeline ended. */
  readonly endedBy: ClockStep | null;
  /** Seconds that the clock showed in it or may have shown; in order, disjoint. */
  readonly ran: readonly SecondRange[];
  /** Those of them that it may have shown: between the bounds of a step. */
  readonly unsure: readonly SecondRange[];
  /** Seconds that were jumped over: nothing ran in them. */
  readonly jumped: readonly SecondRange[];
  /** Seconds whose cut within it is known. */
  readonly restorable: SecondRange | null;
}

/** What is looked at in a timeline to tell its stretches. */
export interface SteppedSpan {
  /** First second that its first snapshot serves, and where that snapshot stands. */
  readonly from: number | null;
  readonly fromOffset?: bigint | null;
  /** Latest second proven after the last step back. */
  readonly to: number | null;
  /** In offset order. */
  readonly steps?: readonly ClockStep[];
  /** Steps back before the first of `steps`, whose entries are gone. */
  readonly forgottenStepsBack?: number;
}

/**
 * The stretches of a timeline from its first snapshot on; what lies before it cannot be restored
 * and is left out.
 */
export function stretchesOf(span: SteppedSpan): readonly Stretch[] {
  const { from, to, fromOffset = null, steps = [] } = span;
  if (from === null) return [];
  const stretches: Stretch[] = [];
  let index = span.forgottenStepsBack ?? 0;
  let first: ClockStep | null = null;
  let forward: ClockStep[] = [];
  for (const step of steps) {
    // At the very offset of the snapshot it is taken for a later one: nothing ran between.
    const early = fromOffset !== null && step.offset < fromOffset;
    if (step.direction === 'forward') {
      if (!early) forward.push(step);
      continue;
    }
    if (!early) {
      stretches.push(endedStretch(index, startOf(first, from), forward, step));
      first = step;
    }
    forward = [];
    index += 1;
  }
  const start = startOf(first, from);
  const unsure = forward.flatMap(unsureOf);
  const last = to ?? (first === null ? -Infinity : secondOf(first.sinceMs) - 1);
  const restorable = to === null ? null : rangeOf(start.exact, to);
  const covered = coverage(start.first, last, forward);
  stretches.push({ index, endedBy: null, ...covered, unsure, restorable });
  return stretches;
}

interface StretchStart {
  /** The first second it may have shown, and the first whose cut is known. */
  readonly first: number;
  readonly exact: number;
}

function startOf(step: ClockStep | null, from: number): StretchStart {
  if (step === null) return { first: from, exact: from };
  return { first: secondOf(step.toMs), exact: secondOf(step.sinceMs) };
}

function endedStretch(
  index: number,
  start: StretchStart,
  forward: readonly ClockStep[],
  step: ClockStep,
): Stretch {
  const last = secondOf(step.fromMs);
  // Where nothing ran between the bounds of the step, they are the cut of its last seconds.
  const exact = step.before === step.offset;
  const known = exact ? last : Math.min(step.provenTo ?? -Infinity, last);
  const restorable = rangeOf(start.exact, known);
  const unsure = [...forward, step].flatMap(unsureOf);
  return { index, endedBy: step, ...coverage(start.first, last, forward), unsure, restorable };
}

/** Whole seconds that lie between the bounds of a step, on the side of the stretch. */
function unsureOf({ direction, untilMs, fromMs, toMs, sinceMs }: ClockStep): SecondRange[] {
  const before = rangeOf(secondOf(untilMs) + 1, secondOf(fromMs));
  const after = direction === 'back' ? null : rangeOf(secondOf(toMs), secondOf(sinceMs) - 1);
  return [before, after].filter((range) => range !== null);
}

function coverage(
  first: number,
  last: number,
  forward: readonly ClockStep[],
): Pick<Stretch, 'ran' | 'jumped'> {
  const ran: SecondRange[] = [];
  const jumped: SecondRange[] = [];
  let at = first;
  for (const step of forward) {
    const left = Math.max(secondOf(step.fromMs), at);
    const entered = Math.min(secondOf(step.toMs), last + 1);
    if (entered - left < 2) continue;
    ran.push({ from: at, to: left });
    jumped.push({ from: left + 1, to: entered - 1 });
    at = entered;
  }
  if (at <= last) ran.push({ from: at, to: last });
  return { ran, jumped };
}

function rangeOf(from: number, to: number): SecondRange | null {
  return from <= to ? { from, to } : null;
}

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}
