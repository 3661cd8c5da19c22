import { openInstanceLog, type InstanceLog } from '@tidemark/catalog';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';

/** Keeps the history of an instance in the bin from retention. */
export const RECYCLE_LEASE = 'recycle';

/** What the log of an instance is written with. */
export interface LogParts {
  readonly workspace: Workspace;
  readonly clock: Clock;
  readonly random: Random;
}

/** The log of an instance, read to its end. */
export async function logOf(
  iid: string,
  { workspace, clock, random }: LogParts,
  signal: AbortSignal,
): Promise<InstanceLog> {
  const { store, keys } = workspace;
  return openInstanceLog({ store, iid, logKey: await keys.logKey(iid), clock, random, signal });
}

/** Retention is free again to let go of what its rules keep no longer. */
export async function releaseRecycleLease(log: InstanceLog, clock: Clock): Promise<void> {
  await log.append(({ leases }) =>
    leases.some(({ lease }) => lease === RECYCLE_LEASE)
      ? { type: 'LeaseReleased', lease: RECYCLE_LEASE, atMs: clock.nowMs() }
      : null,
  );
}

/**
 * An instance is under protection again, and its history goes on.
 * @param by - The name of an actor.
 * @returns False for one that is not in the bin: nothing was done.
 * @throws UsageError `TM_RECYCLE_STATE` for one that was destroyed.
 */
export async function takeBackFromBin(
  instance: string,
  by: string,
  parts: LogParts,
  signal: AbortSignal,
): Promise<boolean> {
  const log = await logOf(instance, parts, signal);
  const seq = await log.append(({ recycle }) => {
    if (recycle === null) return null;
    if (recycle.destroyed !== null) throw destroyed(instance);
    return { type: 'InstanceReturned', by, atMs: parts.clock.nowMs() };
  });
  await releaseRecycleLease(log, parts.clock);
  return seq !== null;
}

function destroyed(instance: string): UsageError {
  return new UsageError('TM_RECYCLE_STATE', `${instance} was destroyed: its id is used up`, {
    hint: 'its history cannot be gone on with; add the node under another id',
  });
}
