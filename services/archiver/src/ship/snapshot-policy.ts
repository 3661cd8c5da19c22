/** A base is shipped at the latest after this long. */
const SNAPSHOT_AGE_MS_MAX = 24 * 3_600_000;

/** What is known of the last snapshot of the timeline; null when it has none. */
export interface LastSnapshot {
  readonly offset: bigint;
  readonly rdbBytes: number;
  readonly endedMs: number;
}

/** The base that may be shipped. */
export interface OfferedBase {
  readonly offset: bigint;
  readonly requested: boolean;
}

/**
 * Whether a base becomes a snapshot (design.md section 4): the first of a timeline, on request,
 * when the log since the last one exceeds its size, or after 24 hours. Others are let go.
 */
export function wantsSnapshot(
  last: LastSnapshot | null,
  base: OfferedBase,
  nowMs: number,
): boolean {
  if (last === null || base.requested) return true;
  if (base.offset <= last.offset) return false;
  return (
    base.offset - last.offset > BigInt(last.rdbBytes) || nowMs - last.endedMs >= SNAPSHOT_AGE_MS_MAX
  );
}
