import type { Stretch } from '@tidemark/archive';
import type { RetentionTimeline } from './history.ts';

/**
 * Where the snapshot stands that serves a second of a stretch, and with it every later one: the
 * newest that lies before the stretch, or in it and says that it serves the second. The cut of the
 * second may allow for a newer one; that is kept too.
 */
export function servingOffset(span: RetentionTimeline, stretch: Stretch, second: number): bigint {
  const begin = beginOf(span, stretch);
  const end = stretch.endedBy?.before ?? null;
  const serving = span.snapshots.findLast(
    // One that stands at the very step may speak of the time after it.
    ({ offset, from }) => (end === null || offset < end) && (offset < begin || from <= second),
  );
  return serving?.offset ?? span.snapshots[0]?.offset ?? 0n;
}

/** Where a stretch begins: at the step back before it. */
function beginOf(span: RetentionTimeline, { index }: Stretch): bigint {
  const back = (span.steps ?? []).filter(({ direction }) => direction === 'back');
  return back[index - (span.forgottenStepsBack ?? 0) - 1]?.offset ?? 0n;
}
