import { isLive, type Catalog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import type { RestoreEnvironment } from '../../run/environment.ts';
import { findOverPacks, removeUndoPack } from './undo-objects.ts';
import { undoTimeMs } from './undo-time.ts';

/** How far a clock may be ahead of the last entry of a log. */
const CLOCK_AHEAD_MS_MAX = 86_400_000;

/** What undo packs are let go of with. */
export interface ExpireUndoPorts extends Pick<RestoreEnvironment, 'store' | 'keys' | 'signal'> {
  readonly catalog: Pick<Catalog, 'writers' | 'instance'>;
  readonly clock: Clock;
  /** Told why packs are left as they are. */
  readonly warn: (message: string) => void;
}

/**
 * Deletes the undo packs of an instance that are over their time, as the next write into the original
 * would; never by a clock that is far ahead of the log or of the store, nor while a restore reads its
 * history, which may be a write-back. One that cannot be read is left.
 * @returns Their restores; with `dryRun` those that would go.
 */
export async function expireUndoPacks(
  instance: string,
  dryRun: boolean,
  { store, keys, signal, catalog, clock, warn }: ExpireUndoPorts,
): Promise<readonly string[]> {
  const source = { store, keys, signal };
  const written = catalog.writers(instance).map(({ state }) => state.lastEntryMs ?? -Infinity);
  const latestMs = Math.max(...written) + CLOCK_AHEAD_MS_MAX;
  const nowMs = await undoTimeMs({ store, clock, signal }, latestMs);
  const { leases } = catalog.instance(instance);
  if (leases.some((lease) => lease.purpose === 'restore' && isLive(lease, nowMs))) return [];
  const { over, unread } = await findOverPacks(instance, nowMs, source);
  for (const { restore, cause } of unread) {
    warn(`the undo pack of ${restore} is left as it is: ${cause.message}`);
  }
  for (const restore of dryRun ? [] : over) await removeUndoPack(instance, restore, source);
  return over;
}
