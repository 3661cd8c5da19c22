/** What the entries of a writer log are looked at for. */
export interface LogUse {
  /** Sequence numbers of the checkpoints that are stored. */
  readonly checkpoints: readonly number[];
  /**
   * The first entry that something kept stands in: a snapshot, a segment or its body, node facts,
   * the opening of a timeline; `null` = none does.
   */
  readonly neededSeq: number | null;
  /** Last entry of the log. */
  readonly lastSeq: number;
}

/**
 * The checkpoint below which the entries of a log may go: it then is the truth for them. Entries up
 * to it, and the checkpoints before it, are needed no more.
 *
 * @returns Null when none is old enough.
 */
export function chooseLogCut({ checkpoints, neededSeq, lastSeq }: LogUse): number | null {
  const below = Math.min(neededSeq ?? lastSeq, lastSeq);
  const cut = Math.max(-1, ...checkpoints.filter((seq) => seq < below));
  return cut < 0 ? null : cut;
}

/** Node facts as the log holds them. */
export interface LoggedFacts {
  readonly seq: number;
  readonly atMs: number;
  /** Data key, 32 hex digits. */
  readonly dekId: string;
}

/**
 * The first of the node facts that a restore may ask for: the newest that were taken by the first
 * second that is kept, else the oldest.
 * @param facts - In log order.
 * @param fromSecond - Null: nothing is kept; then the last ones stay.
 */
export function neededFacts(
  facts: readonly LoggedFacts[],
  fromSecond: number | null,
): LoggedFacts | null {
  if (fromSecond === null) return facts.at(-1) ?? null;
  return facts.findLast(({ atMs }) => atMs <= fromSecond * 1000) ?? facts[0] ?? null;
}
