import { computeWindows, stretchAt, stretchesOf, windowAt } from '@tidemark/archive';
import type { Catalog } from '@tidemark/catalog';
import { cutWithin } from './cut-within.ts';
import type { FooterReaderOptions } from './read-marks.ts';
import { nothingRestorable, noTimeline, refuseSecond } from './refuse-second.ts';
import type { PlannedCut } from './restore-plan.ts';

/**
 * The cut of a second: the first mark that is later than it, in the one stretch of a timeline that it
 * passed in. Reads the footer of one segment or two.
 * @param wanted - `timeline`: where the second is looked for; null = on the one current at it.
 * @throws PlanError `TM_TIME_NOT_RESTORABLE` with the nearest restorable seconds and, where the clock
 *   was set back, with the cut of each of its passes; UsageError `TM_NOT_FOUND` for a timeline.
 */
export async function resolveCut(
  catalog: Catalog,
  instance: string,
  wanted: { readonly second: number; readonly timeline: string | null },
  options: FooterReaderOptions,
): Promise<PlannedCut> {
  const { second, timeline } = wanted;
  const spans = catalog.spans(instance);
  const named = timeline ?? windowAt(computeWindows(spans), second)?.timeline;
  const span = spans.find((one) => one.timeline === named);
  if (span === undefined && timeline !== null) throw noTimeline(instance, timeline);
  const stretch = span === undefined ? null : stretchAt(span, second);
  if (span === undefined || stretch === null) {
    throw await refuseSecond(catalog, instance, wanted, options);
  }
  return cutWithin({ timeline: span.timeline, stretch }, second, { catalog, instance }, options);
}

/** The latest second of an instance: the last one proven on its newest timeline, else of a window. */
export async function resolveLatest(
  catalog: Catalog,
  instance: string,
  options: FooterReaderOptions,
): Promise<{ readonly at: number; readonly cut: PlannedCut }> {
  const spans = catalog.spans(instance);
  const newest = spans.filter(({ from }) => from !== null).at(-1);
  const stretch = newest === undefined ? undefined : stretchesOf(newest).at(-1);
  // Also where its clock was set back and shows those seconds again: it is the newest all the same.
  if (newest?.to != null && stretch?.restorable?.to === newest.to) {
    const place = { timeline: newest.timeline, stretch };
    const cut = await cutWithin(place, newest.to, { catalog, instance }, options);
    return { at: newest.to, cut };
  }
  const { latest } = computeWindows(spans);
  if (latest === null) throw nothingRestorable(instance);
  const wanted = { second: latest, timeline: null };
  return { at: latest, cut: await resolveCut(catalog, instance, wanted, options) };
}
