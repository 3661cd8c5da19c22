/** A position in a timeline together with what is known of its time. Times in Unix milliseconds. */
export interface Mark {
  readonly offset: bigint;
  /** Every command at or after `offset` started at this time or later. */
  readonly notBeforeMs: number;
  /** Every command before `offset` started at this time or earlier; null = nothing is known. */
  readonly notAfterMs: number | null;
  /** A `#TS` line of the log, or a sample of server time and stream position taken together. */
  readonly source: 'annotation' | 'sample';
}

/** Where a restore to a second stops, with the bounds that a report prints. */
export interface Cut {
  /** Exclusive: the first byte that is not replayed. */
  readonly offset: bigint;
  readonly notBeforeMs: number;
  readonly notAfterMs: number | null;
}

/**
 * Finds the cut of a second: the first mark that lies wholly after it.
 *
 * Marks at the same offset as the cut speak of the same commands, so the tightest upper bound of
 * them is given.
 * @param marks - Of one stretch (`stretchesOf`), in offset order.
 * @param second - Whole Unix seconds; every command that started in it is before the cut.
 * @returns Null when no mark is later than the second.
 */
export function findCut(marks: readonly Mark[], second: number): Cut | null {
  const wantedMs = (second + 1) * 1000;
  const at = marks.findIndex((mark) => mark.notBeforeMs >= wantedMs);
  const cut = marks[at];
  if (cut === undefined) return null;
  let notAfterMs = cut.notAfterMs;
  for (const step of [-1, 1]) {
    for (let i = at + step; marks[i]?.offset === cut.offset; i += step) {
      const other = marks[i]?.notAfterMs ?? null;
      if (other !== null && (notAfterMs === null || other < notAfterMs)) notAfterMs = other;
    }
  }
  return { offset: cut.offset, notBeforeMs: cut.notBeforeMs, notAfterMs };
}

/**
 * The latest second that is proven by marks.
 * @param notBeforeMs - The greatest `notBeforeMs` among the marks up to the durable offset.
 * @returns The greatest T with `notBeforeMs >= (T + 1) * 1000`.
 */
export function provenSecond(notBeforeMs: number): number {
  return Math.floor(notBeforeMs / 1000) - 1;
}
