import { isLive, type InstanceState, type WriterState } from '@tidemark/catalog';
import { KeyError, StoreError, UsageError, type Clock } from '@tidemark/core';
import { areApart, storeTime, type ObjectStore } from '@tidemark/store';
import { loadConfig } from '@tidemark/workspace';
import { RECYCLE_LEASE } from './take-back.ts';

/** Clocks of hosts differ: what was written this shortly after the release is of before it. */
const SKEW_MS = 60_000;

/** A writer of an instance, as the catalog knows it. */
export interface KnownWriter {
  readonly writer: string;
  readonly state: Pick<WriterState, 'lastEntryMs'>;
}

/** The writer that was written to after the instance came into the bin; undefined: none. */
export function writtenSince(
  writers: readonly KnownWriter[],
  sinceMs: number,
): KnownWriter | undefined {
  return writers.find(({ state }) => (state.lastEntryMs ?? 0) > sinceMs + SKEW_MS);
}

/**
 * Refuses to destroy what was captured while it lay in the bin: its node is in use, and somebody counts
 * upon its history.
 * @throws KeyError `TM_BUSY` that names the writer.
 */
export function refuseCapturedSince(
  instance: string,
  writers: readonly KnownWriter[],
  sinceMs: number,
): void {
  const found = writtenSince(writers, sinceMs);
  if (found === undefined) return;
  throw new KeyError('TM_BUSY', `${instance} was captured after it came into the recycle bin`, {
    context: { instance, writer: found.writer, sinceMs, lastEntryMs: found.state.lastEntryMs },
    hint: `nothing was destroyed; take it back (tidemark instance add), or release it anew: tidemark instance remove ${instance} --to-recycle`,
  });
}

/**
 * Refuses to destroy what the configuration of this host still names: its release was cut short.
 * @param path - Of the configuration.
 * @throws UsageError `TM_RECYCLE_STATE`; as `loadConfig`.
 */
export async function refuseConfigured(instance: string, path: string): Promise<void> {
  const { instances } = await loadConfig(path);
  if (!instances.some(({ id }) => id === instance)) return;
  throw new UsageError('TM_RECYCLE_STATE', `${instance} is configured on this host`, {
    context: { instance },
    hint: `nothing was destroyed; its release was cut short: tidemark instance remove ${instance} --to-recycle`,
  });
}

/**
 * Refuses to destroy what somebody reads. The hold of the bin itself does not count.
 * @throws KeyError `TM_BUSY` that names the lease.
 */
export function refuseRead({ iid, leases }: InstanceState, nowMs: number): void {
  const reader = leases.find((one) => one.lease !== RECYCLE_LEASE && isLive(one, nowMs));
  if (reader === undefined) return;
  throw new KeyError('TM_BUSY', `lease ${reader.lease} holds the history of ${iid ?? ''}`, {
    context: { instance: iid, lease: reader.lease, purpose: reader.purpose },
    hint: 'wait until it is done',
  });
}

/** A stay in the bin: no two of one instance are of the same times. */
export interface BinStay {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/**
 * Refuses to end another stay in the bin than the one that was looked at.
 * @throws KeyError `TM_BUSY`.
 */
export function refuseReleasedAnew(instance: string, now: BinStay, meant: BinStay): void {
  if (now.sinceMs === meant.sinceMs && now.untilMs === meant.untilMs) return;
  throw new KeyError('TM_BUSY', `${instance} was taken back and released anew meanwhile`, {
    context: { instance, sinceMs: now.sinceMs, untilMs: now.untilMs },
    hint: 'nothing was destroyed; its time in the recycle bin began anew',
  });
}

/**
 * Refuses to release an instance by a clock that is wrong: its time in the bin would be over too early.
 * @throws StoreError `TM_STORE_CLOCK`; as `storeTime`.
 */
export async function refuseApart(
  instance: string,
  store: ObjectStore,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const storeMs = await storeTime(store, signal);
  const nowMs = clock.nowMs();
  if (storeMs === null || !areApart(nowMs, storeMs)) return;
  const minutes = Math.floor(Math.abs(nowMs - storeMs) / 60_000).toString();
  const message = `the clocks of this host and of the store are ${minutes} minutes apart`;
  throw new StoreError('TM_STORE_CLOCK', message, {
    context: { instance, aheadMs: nowMs - storeMs },
    hint: 'set the clock of this host; nothing was released',
  });
}
