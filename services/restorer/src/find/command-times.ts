import type { Mark } from '@tidemark/archive';
import type { Catalog, CatalogSegment } from '@tidemark/catalog';
import type { TimeBounds } from './found-command.ts';
import { segmentAt, segmentBefore } from './segments-within.ts';

/** Segments in which a mark before or after is looked for: a footer each. */
const LOOK_AROUND_SEGMENTS = 16;

/** Where marks of other segments come from. */
export interface MarkSource {
  readonly catalog: Catalog;
  readonly marks: (segment: CatalogSegment) => Promise<readonly Mark[]>;
}

/**
 * Tells when the commands of a segment ran, from the marks around them. Marks of neighbours are read
 * when its own do not bound a command, within the same stretch.
 */
export class CommandTimes {
  readonly #segment: CatalogSegment;
  readonly #source: MarkSource;
  #marks: readonly Mark[];
  /** For each mark: the latest lower bound up to it, and the earliest upper bound from it on. */
  #notBefore: readonly (number | null)[] = [];
  #notAfter: readonly (number | null)[] = [];
  #before = false;
  #after = false;

  /** @param marks - Those of the segment itself. */
  constructor(segment: CatalogSegment, marks: readonly Mark[], source: MarkSource) {
    this.#segment = segment;
    this.#source = source;
    this.#marks = marks;
    this.#index();
  }

  /** Sees to it that commands from `first` to `last` are bounded as well as the marks can. */
  async cover(first: bigint, last: bigint): Promise<void> {
    if (!this.#before && this.at(first).notBeforeMs === null) {
      this.#before = true;
      this.#add(await this.#neighbour(this.#older, () => true));
    }
    if (!this.#after && this.at(last).notAfterMs === null) {
      this.#after = true;
      const bounds = (mark: Mark): boolean => mark.offset > last && mark.notAfterMs !== null;
      this.#add(await this.#neighbour(this.#newer, bounds));
    }
  }

  /** When the command that begins at `offset` ran. */
  at(offset: bigint): TimeBounds {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#marks[middle] as Mark).offset <= offset) low = middle + 1;
      else high = middle;
    }
    return {
      notBeforeMs: low === 0 ? null : (this.#notBefore[low - 1] ?? null),
      notAfterMs: this.#notAfter[low] ?? null,
    };
  }

  readonly #older = (at: CatalogSegment): CatalogSegment | null =>
    segmentBefore(this.#source.catalog, at.timeline, at.start);

  readonly #newer = (at: CatalogSegment): CatalogSegment | null =>
    segmentAt(this.#source.catalog, at.timeline, at.end);

  /** The marks of segments on one side up to one that bounds; late ones are of this one. */
  async #neighbour(
    step: (at: CatalogSegment) => CatalogSegment | null,
    bounds: (mark: Mark) => boolean,
  ): Promise<readonly Mark[]> {
    const found: Mark[] = [];
    let at: CatalogSegment | null = this.#segment;
    for (let count = 0; count < LOOK_AROUND_SEGMENTS && !found.some(bounds); count++) {
      at = step(at);
      if (at?.stretch !== this.#segment.stretch) break;
      if (at.header.firstSecond !== null) found.push(...(await this.#source.marks(at)));
    }
    return found;
  }

  #add(marks: readonly Mark[]): void {
    if (marks.length === 0) return;
    this.#marks = [...this.#marks, ...marks].sort(byOffset);
    this.#index();
  }

  #index(): void {
    const { length } = this.#marks;
    const notBefore: (number | null)[] = [];
    const notAfter = new Array<number | null>(length).fill(null);
    let latest: number | null = null;
    for (const { notBeforeMs } of this.#marks) {
      latest = Math.max(latest ?? notBeforeMs, notBeforeMs);
      notBefore.push(latest);
    }
    let earliest: number | null = null;
    for (let i = length - 1; i >= 0; i--) {
      const bound = (this.#marks[i] as Mark).notAfterMs;
      if (bound !== null) earliest = Math.min(earliest ?? bound, bound);
      notAfter[i] = earliest;
    }
    this.#notBefore = notBefore;
    this.#notAfter = notAfter;
  }
}

function byOffset(a: Mark, b: Mark): number {
  if (a.offset === b.offset) return 0;
  return a.offset < b.offset ? -1 : 1;
}
