import type { Bus, Membership } from '@tidemark/bus';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { WorkDesk, WorkSharing } from './work-sharing.ts';

/** Name of the group, without the prefix of the topics. */
const GROUP = 'archivers';
/** A member that is silent for so long is gone. With the wait for its log it is less than 30 s. */
const SESSION_MS = 6_000;
const LOOK_MS = 250;
/** Between two tries to make the topics. */
const PAUSE_MS = 2_000;

/** What sharing over a bus works with. */
export interface BusSharingOptions {
  /** Called again, after a pause, until it succeeds; the sharing closes it. */
  readonly open: () => Promise<Bus>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Shares captures out by the assignment of a group. A host whose entries do not reach the store
 * leaves the group until they do: what it was given goes to others, and what it captures it keeps
 * until it finds a log lost.
 */
export class BusSharing implements WorkSharing {
  readonly #options: BusSharingOptions;

  constructor(options: BusSharingOptions) {
    this.#options = options;
  }

  async run(instances: readonly string[], desk: WorkDesk, signal: AbortSignal): Promise<void> {
    const { open } = this.#options;
    await using bus = await this.#patiently(open, signal);
    if (bus === null) return;
    await this.#patiently(() => bus.ensureTopics(), signal);
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      await this.#until(() => desk.isFit, signal);
      if (!isOver()) await this.#takePart(bus, instances, desk, signal);
    }
  }

  /** One membership: until the signal, or until this host is unfit. */
  async #takePart(
    bus: Bus,
    instances: readonly string[],
    desk: WorkDesk,
    signal: AbortSignal,
  ): Promise<void> {
    const over = new AbortController();
    const membership = bus.joinGroup({
      ...{ group: GROUP, topic: 'writers', instances, sessionMs: SESSION_MS },
      proven: () => desk.proven,
      onAssigned: (given) => desk.assigned(given),
      onRevoked: async (taken, why) => {
        if (why === 'moved') await desk.revoked(taken);
        else desk.lost(taken);
      },
      signal: AbortSignal.any([signal, over.signal]),
    });
    await this.#until(() => {
      tell(membership, desk);
      return !desk.isFit;
    }, signal);
    if (!signal.aborted) this.#options.logger.warn('fleet-unfit');
    over.abort(new Error('this host leaves the group'));
    await membership.over;
    desk.lost();
  }

  async #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted && !holds()) {
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  /** @returns Null when the signal came first. */
  async #patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | null> {
    const { clock, logger } = this.#options;
    let told: string | null = null;
    while (!signal.aborted) {
      try {
        return await work();
      } catch (cause) {
        const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
        const error = cause instanceof Error ? cause.message : String(cause);
        if (told !== code) logger.warn('fleet-away', { code, error });
        told = code;
      }
      await clock.sleep(PAUSE_MS, signal).catch(() => undefined);
    }
    return null;
  }
}

function tell(membership: Membership, desk: WorkDesk): void {
  if (membership.state().connected) desk.joined();
  else desk.lost();
}
