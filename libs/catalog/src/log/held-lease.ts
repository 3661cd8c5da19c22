import { makeId, TidemarkError } from '@tidemark/core';
import { undoLeaseOf } from '../retention/undo-lease.ts';
import type { InstanceState, Lease } from '../model/instance-state.ts';
import { openInstanceLog, type InstanceLog, type InstanceLogOptions } from './instance-log.ts';

/** A lease ends by itself so long after its reader was last heard of, in milliseconds. */
export const LEASE_MS: number = 30 * 60_000;
const RENEW_MS = LEASE_MS / 3;

/** What a reader of history holds. */
export interface LeaseRequest extends Omit<InstanceLogOptions, 'from'> {
  readonly purpose: Lease['purpose'];
  /** Nothing from this second on is let go. */
  readonly fromSecond: number;
  /** The undo pack that is read; absent = none. */
  readonly undoes?: string;
  /** What is known of the instance's log: it is read on from there. */
  readonly known: InstanceState;
  /** Told once when the lease could not be renewed; the reader goes on, and so do the tries. */
  readonly onLost: (cause: TidemarkError) => void;
}

/** A lease in the log of an instance, renewed until it is released. */
export class HeldLease implements AsyncDisposable {
  readonly #request: LeaseRequest;
  readonly #log: InstanceLog;
  readonly #lease: string;
  readonly #over = new AbortController();
  readonly #renewing: Promise<void>;

  constructor(request: LeaseRequest, log: InstanceLog, lease: string) {
    this.#request = request;
    this.#log = log;
    this.#lease = lease;
    this.#renewing = this.#renew();
  }

  /** Gives the lease back. What fails is no fault: it ends by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the lease is released'));
    await this.#renewing;
    const atMs = this.#request.clock.nowMs();
    try {
      await this.#log.append((state) =>
        this.#isHeld(state) ? { type: 'LeaseReleased', lease: this.#lease, atMs } : null,
      );
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
    }
  }

  async #renew(): Promise<void> {
    const { clock, onLost } = this.#request;
    const { signal } = this.#over;
    let isLost = false;
    for (;;) {
      try {
        await clock.sleep(RENEW_MS, signal);
      } catch {
        return; // released
      }
      try {
        const atMs = clock.nowMs();
        const untilMs = atMs + LEASE_MS;
        await this.#log.append((state) =>
          this.#isHeld(state)
            ? { type: 'LeaseRenewed', lease: this.#lease, untilMs, atMs }
            : this.#taken(),
        );
      } catch (cause) {
        if (!(cause instanceof TidemarkError)) throw cause;
        if (!isLost) onLost(cause);
        isLost = true; // a store that is back takes it again: its reader may need it for hours
      }
    }
  }

  /** A reader that was away for long takes it anew. */
  #taken(): ReturnType<typeof leaseTaken> {
    return leaseTaken(this.#lease, this.#request);
  }

  #isHeld({ leases }: InstanceState): boolean {
    return leases.some(({ lease }) => lease === this.#lease);
  }
}

/**
 * Takes a lease: from here on retention lets go of nothing from a second on, until the lease is
 * disposed, or half an hour after its reader has died.
 *
 * @throws StoreError where the store does not take it, CatalogError `TM_LOG_STATE`; as `openInstanceLog`.
 */
export async function takeLease(request: LeaseRequest): Promise<HeldLease> {
  const { clock, random, known, undoes } = request;
  const lease =
    undoes === undefined
      ? `ls-${makeId(clock.nowMs(), random)}`
      : undoLeaseOf(undoes, random.bytes(4).toString('hex'));
  const log = await openInstanceLog({ ...request, from: known });
  await log.append(() => leaseTaken(lease, request));
  return new HeldLease(request, log, lease);
}

function leaseTaken(lease: string, { clock, purpose, fromSecond }: LeaseRequest) {
  const atMs = clock.nowMs();
  const untilMs = atMs + LEASE_MS;
  return { type: 'LeaseTaken', lease, purpose, fromSecond, untilMs, atMs } as const;
}
