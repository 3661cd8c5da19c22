import { isLive, type InstanceState, type WriterState } from '@tidemark/catalog';
import { KeyError, UsageError } from '@tidemark/core';
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
