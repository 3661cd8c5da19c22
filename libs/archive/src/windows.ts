/** Why seconds between two windows cannot be restored. The list is closed. */
export type HoleReason =
  | 'aof-off'
  | 'rewrite-unobserved'
  | 'backlog-overrun'
  | 'divergent-tail'
  | 'clock-step'
  | 'spool-full'
  | 'pin-dropped'
  | 'detached'
  | 'capture-down';

/** Every hole reason, in the order of the type. */
export const HOLE_REASONS: readonly HoleReason[] = [
  'aof-off',
  'rewrite-unobserved',
  'backlog-overrun',
  'divergent-tail',
  'clock-step',
  'spool-full',
  'pin-dropped',
  'detached',
  'capture-down',
];

/** What one timeline can restore. Seconds are whole Unix seconds, both ends inclusive. */
export interface TimelineSpan {
  readonly timeline: string;
  /** First second that it serves: that of its first snapshot; null = none yet. */
  readonly from: number | null;
  /** Its `provenTo`; null = nothing is proven. */
  readonly to: number | null;
  readonly closedBecause: HoleReason | null;
  readonly openedBecause: HoleReason | 'attach' | null;
}

/** A closed interval of seconds, each restorable, on one timeline. */
export interface WindowRange {
  readonly from: number;
  readonly to: number;
  readonly timeline: string;
}

/** A closed interval of seconds between two windows, none restorable. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly reason: HoleReason;
}

/** What can be restored: ranges in time order, and exactly what lies between them. */
export interface Windows {
  readonly ranges: readonly WindowRange[];
  readonly holes: readonly Hole[];
  /** First and last restorable second; null = nothing can be restored. */
  readonly earliest: number | null;
  readonly latest: number | null;
}

/**
 * Computes the windows of one writer.
 *
 * From the first second that a timeline serves it is the current one, whatever an earlier timeline
 * knows of that second or a later one: those are reached by naming the timeline. This also settles
 * a clock that was set back.
 * @param spans - In the order in which the timelines were opened.
 */
export function computeWindows(spans: readonly TimelineSpan[]): Windows {
  const kept: { range: WindowRange; index: number }[] = [];
  let ceiling = Infinity;
  for (let index = spans.length - 1; index >= 0; index--) {
    const span = spans[index];
    if (span?.from === undefined || span.from === null) continue;
    const to = Math.min(span.to ?? -Infinity, ceiling - 1);
    if (to >= span.from) {
      kept.unshift({ range: { from: span.from, to, timeline: span.timeline }, index });
    }
    ceiling = Math.min(ceiling, span.from);
  }
  const holes: Hole[] = [];
  for (let i = 1; i < kept.length; i++) {
    const before = kept[i - 1];
    const after = kept[i];
    if (before === undefined || after === undefined) continue;
    if (after.range.from - before.range.to <= 1) continue;
    const reason = reasonBetween(spans.slice(before.index, after.index + 1));
    holes.push({ from: before.range.to + 1, to: after.range.from - 1, reason });
  }
  return {
    ranges: kept.map(({ range }) => range),
    holes,
    earliest: kept[0]?.range.from ?? null,
    latest: kept.at(-1)?.range.to ?? null,
  };
}

/** The first known reason on the way from one timeline to another: its closing, then openings. */
function reasonBetween(spans: readonly TimelineSpan[]): HoleReason {
  for (const [i, span] of spans.entries()) {
    if (i > 0 && span.openedBecause !== null && span.openedBecause !== 'attach') {
      return span.openedBecause;
    }
    if (i < spans.length - 1 && span.closedBecause !== null) return span.closedBecause;
  }
  return 'capture-down';
}

/**
 * The restorable seconds next to a wanted one; both are the wanted one when it is restorable.
 * @returns Null where there is none on that side.
 */
export function nearestRestorable(
  windows: Pick<Windows, 'ranges'>,
  second: number,
): { readonly before: number | null; readonly after: number | null } {
  let before: number | null = null;
  let after: number | null = null;
  for (const range of windows.ranges) {
    if (range.from <= second) before = Math.min(range.to, second);
    if (after === null && range.to >= second) after = Math.max(range.from, second);
  }
  return { before, after };
}

/** The window that holds a second, and with it the timeline to restore from. */
export function windowAt(windows: Pick<Windows, 'ranges'>, second: number): WindowRange | null {
  return windows.ranges.find((range) => range.from <= second && second <= range.to) ?? null;
}
