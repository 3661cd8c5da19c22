import { stretchesOf } from '@tidemark/archive';
import type { RetentionShard, RetentionSnapshot, RetentionTimeline } from './history.ts';
import type { KeepRules } from './needed-from.ts';
import { servingOffset } from './serving.ts';

/**
 * Deleted backups that nothing kept needs, though history before them is: each of their snapshots has
 * an older one in its timeline that serves all that it serves (with more of the log), or no second can
 * be restored from it at all, as of a one-off backup.
 *
 * What a lease may read stays: snapshots from its first second on, and the one that serves that second.
 * @param shards - As they are shown, above the floors.
 */
export function droppableBackups(
  shards: readonly RetentionShard[],
  { leases }: Pick<KeepRules, 'leases'>,
): ReadonlySet<string> {
  const needed = new Set<string>();
  const free = new Set<string>();
  for (const { writers } of shards) {
    for (const span of writers.flatMap(({ timelines }) => timelines)) {
      const kept: RetentionSnapshot[] = [];
      for (const snapshot of span.snapshots) {
        const isFree = snapshot.deleted === true && canGo(snapshot, kept, span, leases);
        (isFree ? free : needed).add(snapshot.backup);
        if (!isFree) kept.push(snapshot);
      }
    }
  }
  return new Set([...free].filter((backup) => !needed.has(backup)));
}

/**
 * Whether nothing is to be restored from a timeline any more: it is closed, proves no second, and
 * whoever made its backups gave them up.
 */
export function isGivenUp(span: RetentionTimeline): boolean {
  const { snapshots } = span;
  return snapshots.length > 0 && snapshots.every(({ deleted }) => deleted) && isBare(span);
}

function canGo(
  snapshot: RetentionSnapshot,
  before: readonly RetentionSnapshot[],
  span: RetentionTimeline,
  leases: KeepRules['leases'],
): boolean {
  if (leases.some(({ fromSecond }) => isRead(snapshot, span, fromSecond))) return false;
  if (snapshot.shredded === true) return true;
  const serves = before.some((one) => one.shredded !== true && one.from <= snapshot.from);
  return serves || isBare(span);
}

/**
 * Whether a reader that begins with a second may read a snapshot: it serves that second or a later one
 * in some stretch. A second may come again after a step back, so that each stretch has its own.
 */
function isRead(
  { from, offset }: RetentionSnapshot,
  span: RetentionTimeline,
  second: number,
): boolean {
  if (from >= second) return true;
  // One whose key was destroyed stands in for none before it.
  const snapshots = span.snapshots.filter(({ shredded }) => shredded !== true);
  const readable = { ...span, snapshots };
  return stretchesOf(span).some((stretch) => {
    const { endedBy, ran, restorable } = stretch;
    const last = Math.max(ran.at(-1)?.to ?? -Infinity, restorable?.to ?? -Infinity);
    if (endedBy !== null && (last < second || offset > endedBy.offset)) return false;
    return offset >= servingOffset(readable, stretch, second);
  });
}

/** Closed, and no second of it can be restored; nor was it proven to reach up to the next one. */
function isBare(span: RetentionTimeline): boolean {
  if (span.open || span.joinedOn === true) return false;
  return stretchesOf(span).every(({ restorable }) => restorable === null);
}
