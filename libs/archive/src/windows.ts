import type { SteppedSpan } from './clock/clock-step.ts';
import { clockPieces, pieceAt, type ClockPiece } from './clock/passes.ts';

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
export interface TimelineSpan extends SteppedSpan {
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
 * knows of that second or a later one: those are reached by naming the timeline. Where a clock was
 * set back within a timeline, what passed twice is a hole (`clockPieces`), and so are seconds before
 * its first one that it came back to while an earlier timeline has them too.
 * @param spans - In the order in which the timelines were opened.
 */
export function computeWindows(spans: readonly TimelineSpan[]): Windows {
  const layers = spans.flatMap((span, index): Layer[] =>
    span.from === null
      ? []
      : [{ index, timeline: span.timeline, from: span.from, pieces: clockPieces(span) }],
  );
  const points = new Set<number>();
  for (const { from, pieces } of layers) {
    points.add(from);
    for (const piece of pieces) points.add(piece.from).add(piece.to + 1);
  }
  const sorted = [...points].sort((a, b) => a - b);
  const answers = sorted.flatMap((from, i): Answer[] => {
    const next = sorted[i + 1];
    return next === undefined ? [] : [{ from, to: next - 1, ...answerAt(layers, from) }];
  });
  return windowsOf(answers, spans);
}

interface Layer {
  readonly index: number;
  readonly timeline: string;
  readonly from: number;
  readonly pieces: readonly ClockPiece[];
}

/** Seconds with one answer: a timeline to restore from, or a hole of one or another kind. */
interface Answer {
  readonly from: number;
  readonly to: number;
  readonly layer: Layer | null;
  /** Whether there is no layer because there are several. */
  readonly stepped: boolean;
}

function answerAt(layers: readonly Layer[], second: number): Pick<Answer, 'layer' | 'stepped'> {
  let current = layers.length - 1;
  while (current >= 0 && (layers[current] as Layer).from > second) current -= 1;
  let found: { layer: Layer; piece: ClockPiece } | null = null;
  for (let i = Math.max(current, 0); i < layers.length; i++) {
    const layer = layers[i] as Layer;
    const piece = pieceAt(layer.pieces, second);
    if (piece === null) continue;
    if (found !== null) return { layer: null, stepped: true };
    found = { layer, piece };
  }
  if (found === null) return { layer: null, stepped: false };
  return found.piece.stretch === null
    ? { layer: null, stepped: true }
    : { layer: found.layer, stepped: false };
}

/** Ranges from the first to the last restorable second, and the holes between them. */
function windowsOf(answers: readonly Answer[], spans: readonly TimelineSpan[]): Windows {
  const ranges: WindowRange[] = [];
  const holes: Hole[] = [];
  let before: Layer | null = null;
  let waiting: Answer[] = [];
  for (const answer of answers) {
    const { from, to, layer } = answer;
    if (layer === null) {
      if (before !== null) waiting.push(answer);
      continue;
    }
    if (before !== null && waiting.length > 0) {
      const [low, high] = [before.index, layer.index].sort((a, b) => a - b);
      const reason = reasonBetween(spans.slice(low, (high ?? 0) + 1));
      for (const hole of waiting) addHole(holes, hole, hole.stepped ? 'clock-step' : reason);
    }
    const last = ranges.at(-1);
    if (last !== undefined && last.timeline === layer.timeline && last.to === from - 1) {
      ranges[ranges.length - 1] = { ...last, to };
    } else {
      ranges.push({ from, to, timeline: layer.timeline });
    }
    before = layer;
    waiting = [];
  }
  const [earliest, latest] = [ranges[0]?.from ?? null, ranges.at(-1)?.to ?? null];
  return { ranges, holes, earliest, latest };
}

function addHole(holes: Hole[], { from, to }: Answer, reason: HoleReason): void {
  const last = holes.at(-1);
  if (last !== undefined && last.to === from - 1 && last.reason === reason) {
    holes[holes.length - 1] = { ...last, to };
  } else {
    holes.push({ from, to, reason });
  }
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
