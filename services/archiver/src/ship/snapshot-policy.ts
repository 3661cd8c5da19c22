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

/** Why the node should be asked for a new base; `none` when it need not be. */
export type RewriteNeed = 'none' | 'no-snapshot' | 'long-log';

/** A log shorter than this is replayed within seconds: no fork of the node is worth it. */
const LONG_LOG_BYTES_MIN = 64n * 1024n ** 2n;

/**
 * Whether a base is wanted that no rewrite has brought: a timeline without a snapshot restores
 * nothing, and one whose log outgrew its last snapshot restores ever more slowly.
 * @param timeline - The open one; null while none is open.
 */
export function neededRewrite(
  timeline: { readonly end: bigint; readonly snapshot: LastSnapshot | null } | null,
  nowMs: number,
): RewriteNeed {
  const last = timeline?.snapshot ?? null;
  if (timeline === null || last === null) return 'no-snapshot';
  const logBytes = timeline.end - last.offset;
  const long = logBytes > LONG_LOG_BYTES_MIN && logBytes > BigInt(last.rdbBytes);
  const old = logBytes > 0n && nowMs - last.endedMs >= SNAPSHOT_AGE_MS_MAX;
  return long || old ? 'long-log' : 'none';
}
