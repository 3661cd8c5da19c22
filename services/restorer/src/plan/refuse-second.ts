import { nearestRestorable, passesOf } from '@tidemark/archive';
import type { Catalog } from '@tidemark/catalog';
import { PlanError, UsageError } from '@tidemark/core';
import type { FooterReaderOptions } from './read-marks.ts';
import { cutWithin, type TimelineStretch } from './cut-within.ts';

/** Passes of a second that are spelled out. */
const PASSES_MAX = 6;

/** Where nothing is restorable yet, no second is. */
export function nothingRestorable(instance: string): PlanError {
  return new PlanError('TM_TIME_NOT_RESTORABLE', `nothing of ${instance} is restorable`, {
    context: { second: null, nearestBefore: null, nearestAfter: null },
    hint: 'nothing can be restored yet: no snapshot is stored',
  });
}

/** There is no such timeline. */
export function noTimeline(instance: string, timeline: string): UsageError {
  return new UsageError('TM_NOT_FOUND', `there is no timeline ${timeline}`, {
    context: { timeline },
    hint: `tidemark windows ${instance} --timelines`,
  });
}

/**
 * The refusal of a second that the clock showed several times, or not for good: with the cut of each
 * of its passes, ready to be pasted.
 * @param wanted - `timeline`: the one it was looked for on; null = any.
 */
export async function refuseSecond(
  catalog: Catalog,
  instance: string,
  wanted: { readonly second: number; readonly timeline: string | null },
  options: FooterReaderOptions,
): Promise<PlanError> {
  const { second, timeline } = wanted;
  const passes: TimelineStretch[] = catalog
    .spans(instance)
    .filter((span) => timeline === null || span.timeline === timeline)
    .flatMap((span) => {
      return passesOf(span, second).map((stretch) => ({ timeline: span.timeline, stretch }));
    });
  const cuts: Pass[] = [];
  for (const pass of passes.slice(0, PASSES_MAX)) {
    const { offset } = await cutWithin(pass, second, { catalog, instance }, options);
    cuts.push({ timeline: pass.timeline, offset });
  }
  return refusal(catalog, instance, second, cuts);
}

interface Pass {
  readonly timeline: string;
  readonly offset: bigint;
}

function refusal(
  catalog: Catalog,
  instance: string,
  second: number,
  passes: readonly Pass[],
): PlanError {
  const windows = catalog.windows(instance);
  const { before, after } = nearestRestorable(windows, second);
  const hole = windows.holes.find(({ from, to }) => from <= second && second <= to);
  const context: Record<string, string | number | null> = {
    second,
    nearestBefore: before,
    nearestAfter: after,
  };
  for (const [i, { timeline, offset }] of passes.entries()) {
    context[`pass${i + 1}Timeline`] = timeline;
    context[`pass${i + 1}Offset`] = offset.toString();
  }
  const why = reasonOf(placeOf(second, windows, hole?.reason), passes.length);
  const iso = isoSecond(second);
  const hints = [...passHint(passes), ...nearestHint(before, after)];
  return new PlanError('TM_TIME_NOT_RESTORABLE', `${iso} is not restorable (${why})`, {
    context,
    hint:
      hints.length === 0 ? 'nothing can be restored yet: no snapshot is stored' : hints.join('; '),
  });
}

/** Where the second lies, so that nobody looks for a fault who only asked for too much. */
function placeOf(
  second: number,
  { earliest, latest }: Pick<ReturnType<Catalog['windows']>, 'earliest' | 'latest'>,
  hole: string | undefined,
): string {
  if (hole !== undefined) return `hole: ${hole}`;
  if (earliest !== null && second < earliest) return `history begins at ${isoSecond(earliest)}`;
  if (latest !== null && second > latest) return `the last second so far is ${isoSecond(latest)}`;
  return 'it lies outside the windows';
}

function reasonOf(why: string, passes: number): string {
  if (passes > 1) return `${why}; the clock of the server showed it ${passes} times`;
  return passes === 1 ? `${why}; the clock of the server was set back` : why;
}

function passHint(passes: readonly Pass[]): string[] {
  if (passes.length === 0) return [];
  const each = passes.map((pass) => `--offset ${pass.offset} --timeline ${pass.timeline}`);
  return [`the state at its end, in the order of its passes: ${each.join(' or ')}`];
}

function nearestHint(before: number | null, after: number | null): string[] {
  const nearest = [before, after].filter((at) => at !== null).map(isoSecond);
  return nearest.length === 0 ? [] : [`nearest restorable: ${nearest.join(' or ')}`];
}

function isoSecond(second: number): string {
  return new Date(second * 1000).toISOString().replace('.000Z', 'Z');
}
