import {
  HEARTBEAT_MS,
  isLive,
  OWNER_HEARTBEATS,
  type InstanceState,
  type WriterState,
} from '@tidemark/catalog';
import { KeyError, StoreError } from '@tidemark/core';
import { listVersions, versionsOf, type ObjectStore } from '@tidemark/store';

/**
 * Refuses to destroy keys of an instance that somebody reads.
 * @throws KeyError `TM_BUSY` that names the lease.
 */
export function refuseLeased({ iid, leases }: InstanceState, nowMs: number): void {
  const lease = leases.find((one) => isLive(one, nowMs));
  if (lease === undefined) return;
  throw new KeyError('TM_BUSY', `lease ${lease.lease} holds the history of ${iid ?? ''}`, {
    context: { instance: iid, lease: lease.lease, purpose: lease.purpose, untilMs: lease.untilMs },
    hint:
      lease.purpose === 'hold'
        ? 'a hold ends by its release alone'
        : `a ${lease.purpose} reads it; wait until it is done, at most until ${new Date(lease.untilMs).toISOString()}`,
  });
}

/**
 * Refuses to destroy every key of an instance while an archiver writes to it: what it writes after
 * could not be read either.
 * @throws KeyError `TM_BUSY`.
 */
export function refuseCaptured(
  instance: string,
  writers: readonly { readonly writer: string; readonly state: WriterState }[],
  nowMs: number,
): void {
  const live = writers.find(({ state }) => {
    if (state.owner === null || state.owner.released || state.lastEntryMs === null) return false;
    return nowMs - state.lastEntryMs < OWNER_HEARTBEATS * HEARTBEAT_MS;
  });
  if (live === undefined) return;
  throw new KeyError('TM_BUSY', `an archiver captures ${instance} now`, {
    context: { instance, writer: live.writer },
    hint: `stop it first: tidemark instance remove ${instance}, or end the archiver`,
  });
}

/**
 * Refuses where the store would keep what is to be destroyed.
 * @param prefix - Of the key objects.
 * @throws StoreError `TM_STORE_LOCKED` that names the object and until when it is held.
 */
export async function refuseLocked(
  prefix: string,
  store: ObjectStore,
  options: { readonly nowMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const versions = versionsOf(store);
  if (versions === null) return;
  for await (const batch of listVersions(store, prefix, { signal: options.signal })) {
    for (const version of batch) {
      options.signal.throwIfAborted();
      if (version.isMarker) continue;
      const lock = await versions.lockOf(version);
      const held = lock !== null && (lock.legalHold || (lock.untilMs ?? 0) > options.nowMs);
      if (!held) continue;
      const until = lock.untilMs === null ? null : new Date(lock.untilMs).toISOString();
      const why = lock.legalHold ? 'a legal hold' : `Object Lock until ${until ?? ''}`;
      throw new StoreError('TM_STORE_LOCKED', `${version.key} is held by ${why}`, {
        context: { object: version.key, legalHold: lock.legalHold, until },
        hint: 'nothing was destroyed; keep v1/keys/ out of the default retention of the bucket',
      });
    }
  }
}
