/** Bounds of the time at which a command ran, Unix milliseconds, both inclusive; null = not known. */
export interface TimeBounds {
  readonly notBeforeMs: number | null;
  readonly notAfterMs: number | null;
}

/** Whole Unix seconds, both inclusive; null = open. */
export interface SecondWindow {
  readonly since: number | null;
  readonly until: number | null;
}

/** Which keys are looked for. A `Selector` of \@tidemark/selector is one. */
export interface KeyMatcher {
  /** Whether a key, `data[start, end)`, of a database is looked for. */
  matches(db: number, data: Buffer, start?: number, end?: number): boolean;
  matchesDb(db: number): boolean;
  /** All keys that can match; null when they cannot be listed. */
  readonly literals: readonly Buffer[] | null;
}

/** Where and when a command of the log ran. Nothing of its values. */
export interface FoundPlace extends TimeBounds {
  readonly timeline: string;
  /** Of its first byte. */
  readonly offset: bigint;
  /**
   * What `restore --before` takes for the state right before it: its own offset, or that of the
   * MULTI of its transaction.
   */
  readonly before: bigint;
  /** Lower case. */
  readonly command: string;
  /** Number of arguments, the name left out; null = the command itself was not read. */
  readonly argumentCount: number | null;
  /** Bytes in the log; null as above. */
  readonly bytes: number | null;
}

/** A command that `findCommands` looked for. */
export interface FoundCommand extends FoundPlace {
  /** Database that it ran in. */
  readonly db: number;
  /** The first keys that it names, and how many there are. */
  readonly keys: readonly FoundKey[];
  readonly keyCount: number;
}

/** A key that a command names. */
export interface FoundKey {
  readonly db: number;
  readonly key: Buffer;
}

/** What a search read, known while it goes on. */
export interface SearchTotals {
  /** Sealed bytes that were fetched. */
  readonly readBytes: number;
  /** Sealed bytes of the segments in the window. */
  readonly logBytes: number;
  /** Segments in the window, and those of which more than the footer was needed. */
  readonly segments: number;
  readonly segmentsRead: number;
}

/** Whether bounds meet a window. What is not known may lie within. */
export function withinWindow(bounds: TimeBounds, { since, until }: SecondWindow): boolean {
  const { notBeforeMs, notAfterMs } = bounds;
  if (since !== null && notAfterMs !== null && notAfterMs < since * 1000) return false;
  return until === null || notBeforeMs === null || notBeforeMs < (until + 1) * 1000;
}
