import type { Lease } from '../model/instance-state.ts';
import { isLive } from './plan-retention.ts';

const PREFIX = 'undo-';

/**
 * The lease of an undo: it names the undo pack that it reads, so that nobody deletes that meanwhile.
 * @param unique - Hex digits; two hosts may undo one restore.
 */
export function undoLeaseOf(pack: string, unique: string): string {
  return `${PREFIX}${pack}-${unique}`;
}

/** Undo packs that an undo is reading now, by the leases of their instance. */
export function packsBeingUndone(leases: readonly Lease[], nowMs: number): readonly string[] {
  return leases
    .filter((each) => each.lease.startsWith(PREFIX) && isLive(each, nowMs))
    .map(({ lease }) => lease.slice(PREFIX.length, lease.lastIndexOf('-')));
}
