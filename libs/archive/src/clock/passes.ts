import { stretchesOf, type SecondRange, type SteppedSpan, type Stretch } from './clock-step.ts';

/** Seconds of one timeline that share their answer. */
export interface ClockPiece extends SecondRange {
  /** The one stretch that a restore takes; null = the clock showed them more than once. */
  readonly stretch: Stretch | null;
}

interface Edge {
  readonly at: number;
  readonly stretch: Stretch;
  readonly set: 'ran' | 'unsure' | 'jumped' | 'restorable';
  readonly opens: boolean;
}

/**
 * What each second of a timeline resolves to, in order and without gaps: seconds that one stretch
 * showed are that stretch's; seconds that several showed are nobody's; seconds that were only jumped
 * over, once, are the state before the step. None lies after the last proven second: a clock that was
 * set back says that those are yet to come.
 */
export function clockPieces(span: SteppedSpan): readonly ClockPiece[] {
  const stretches = stretchesOf(span);
  const latest = latestSecond(span, stretches);
  const edges = stretches.flatMap(edgesOf).sort((a, b) => a.at - b.at);
  const open = {
    ran: new Set<Stretch>(),
    unsure: new Set<Stretch>(),
    jumped: new Set<Stretch>(),
    restorable: new Set<Stretch>(),
  };
  const pieces: ClockPiece[] = [];
  for (let i = 0; i < edges.length;) {
    const { at } = edges[i] as Edge;
    for (let edge = edges[i]; edge?.at === at; edge = edges[++i]) {
      if (edge.opens) open[edge.set].add(edge.stretch);
      else open[edge.set].delete(edge.stretch);
    }
    const next = edges[i]?.at ?? at;
    const to = Math.min(next - 1, latest);
    if (to < at || open.ran.size + open.jumped.size === 0) continue;
    const only = soleOf(open.ran.size > 0 ? open.ran : open.jumped);
    // Whether it was shown or jumped over is not known, and the cuts of the two differ.
    const torn = only !== null && open.unsure.has(only) && open.jumped.size > 0;
    const stretch = only !== null && !torn && open.restorable.has(only) ? only : null;
    const before = pieces.at(-1);
    if (before?.to === at - 1 && before.stretch === stretch) {
      pieces[pieces.length - 1] = { from: before.from, to, stretch };
    } else {
      pieces.push({ from: at, to, stretch });
    }
  }
  return pieces;
}

/**
 * The stretches that a second belongs to, in their order: those that showed it, or where none did,
 * those that jumped over it. Seconds after the last proven one are told too.
 */
export function passesOf(span: SteppedSpan, second: number): readonly Stretch[] {
  const stretches = stretchesOf(span);
  const holding = (set: 'ran' | 'jumped'): readonly Stretch[] =>
    stretches.filter((one) => one[set].some(({ from, to }) => from <= second && second <= to));
  const ran = holding('ran');
  return ran.length > 0 ? ran : holding('jumped');
}

/** The stretch that a second resolves to within its timeline; null when there is none. */
export function stretchAt(span: SteppedSpan, second: number): Stretch | null {
  return pieceAt(clockPieces(span), second)?.stretch ?? null;
}

/** The piece that holds a second. */
export function pieceAt(pieces: readonly ClockPiece[], second: number): ClockPiece | null {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle] as ClockPiece).to < second) low = middle + 1;
    else high = middle;
  }
  const piece = pieces[low];
  return piece !== undefined && piece.from <= second ? piece : null;
}

function latestSecond(span: SteppedSpan, stretches: readonly Stretch[]): number {
  if (span.to !== null) return span.to;
  const stepped = stretches.at(-2)?.endedBy;
  return stepped == null ? -Infinity : Math.floor(stepped.sinceMs / 1000) - 1;
}

function edgesOf(stretch: Stretch): readonly Edge[] {
  const edges: Edge[] = [];
  const add = (set: Edge['set'], { from, to }: SecondRange): void => {
    edges.push({ at: from, stretch, set, opens: true });
    edges.push({ at: to + 1, stretch, set, opens: false });
  };
  for (const range of stretch.ran) add('ran', range);
  for (const range of stretch.unsure) add('unsure', range);
  for (const range of stretch.jumped) add('jumped', range);
  if (stretch.restorable !== null) add('restorable', stretch.restorable);
  return edges;
}

function soleOf(stretches: ReadonlySet<Stretch>): Stretch | null {
  const [first = null] = stretches;
  return stretches.size === 1 ? first : null;
}
