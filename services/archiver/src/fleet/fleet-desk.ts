import type { Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { HostFitness } from './host-fitness.ts';
import type { WorkDesk } from './work-sharing.ts';

/** What nobody gave to this host is kept for so long: in a group that gathers much of it comes back. */
const SETTLE_MS = 5_000;
const LOOK_MS = 250;
/** A capture that cannot be let go now is asked again after so long. */
const AGAIN_MS = 2_000;

/** How a capture stands, as far as sharing it out matters. */
export interface HeldWork {
  readonly instance: string;
  /** Whether it writes to the log now; else it waits for its turn, or for a fault to pass. */
  readonly isOwner: boolean;
  /** Time since its last entry reached the log, milliseconds; null: it owns none. */
  readonly silentMs: number | null;
  /** Whether it cannot be let go now: the store takes nothing, or it has just begun. */
  readonly isStuck: boolean;
  /** When it failed last at the store or at a key, Unix milliseconds; null: it did not, or runs. */
  readonly barredMs: number | null;
}

/** What a desk works with. */
export interface FleetDeskOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly fitness: Pick<HostFitness, 'isFit' | 'isHeard'>;
  /** What is captured here, or waited for, of what is shared out. */
  readonly held: () => readonly HeldWork[];
  /** Begins to keep it captured. */
  readonly begin: (instance: string) => void;
  /** Ships what there is and releases the log; the timeline stays open. */
  readonly release: (instance: string) => Promise<void>;
  /** Default 5 s. */
  readonly settleMs?: number;
}

/** Whether a host knows what is its work: `joining` before it was told, and when the group is away. */
export type FleetState = 'joining' | 'member';

/** What `status` says of a host of a fleet. */
export interface FleetStatus {
  readonly state: FleetState;
  /** Instances that are for this host to capture, by id. */
  readonly assigned: readonly string[];
}

/**
 * Begins and ends captures as work is given and taken.
 *
 * What another host is to go on with is released at once. What only came to be nobody's, since the
 * group fell apart, is kept; it ends when this host is a member again and some time has passed
 * without it coming back. Nothing is released while the store does not take what there is. Whether a
 * capture may write is told by its log alone.
 */
export class FleetDesk implements WorkDesk {
  readonly #options: FleetDeskOptions;
  readonly #assigned = new Set<string>();
  readonly #adopted = new Set<string>();
  readonly #forgotten = new Set<string>();
  readonly #leaving = new Map<string, Promise<void>>();
  /** Not asked to leave again before, by instance. */
  readonly #notBefore = new Map<string, number>();
  #state: FleetState = 'joining';
  #changedMs = 0;

  constructor(options: FleetDeskOptions) {
    this.#options = options;
    this.#changedMs = options.clock.monotonicMs();
  }

  get isFit(): boolean {
    return this.#options.fitness.isFit(this.#options.held());
  }

  get proven(): readonly string[] {
    const { held, fitness } = this.#options;
    const heard = held().filter(
      (work) => !this.#leaving.has(work.instance) && fitness.isHeard(work),
    );
    return heard.map(({ instance }) => instance);
  }

  get status(): FleetStatus {
    return { state: this.#state, assigned: [...this.#assigned].sort() };
  }

  /** It is kept here whatever the group says. */
  adopt(instance: string): void {
    this.#forgotten.delete(instance);
    this.#adopted.add(instance);
  }

  /** It is not begun again, whatever the group says. */
  forget(instance: string): void {
    this.#adopted.delete(instance);
    this.#forgotten.add(instance);
  }

  joined(): void {
    if (this.#state === 'member') return;
    this.#changed('member');
    this.#options.logger.info('fleet-joined');
  }

  assigned(instances: readonly string[]): void {
    this.#changed('member');
    for (const instance of instances) this.#assigned.add(instance);
    this.#options.logger.info('fleet-assigned', { instances: instances.join(' ') });
    this.#look();
  }

  async revoked(instances: readonly string[]): Promise<void> {
    this.#changed(this.#state);
    for (const instance of instances) this.#assigned.delete(instance);
    this.#options.logger.info('fleet-revoked', { instances: instances.join(' ') });
    const held = this.#options.held().filter(({ instance }) => instances.includes(instance));
    const leaving = held.filter(
      ({ instance, isStuck }) => !isStuck && !this.#adopted.has(instance),
    );
    await Promise.all(leaving.map(({ instance }) => this.#release(instance)));
  }

  lost(instances: readonly string[] = []): void {
    for (const instance of instances) this.#assigned.delete(instance);
    if (this.#state === 'joining' && instances.length === 0) return;
    this.#changed('joining');
    const assigned = instances.join(' ');
    this.#options.logger.warn('fleet-lost', { assigned, held: this.#options.held().length });
  }

  /** Looks after what is held until the signal is aborted, and until nothing is being let go. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#look();
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
    await Promise.all(this.#leaving.values());
  }

  #changed(state: FleetState): void {
    this.#state = state;
    this.#changedMs = this.#options.clock.monotonicMs();
  }

  #look(): void {
    const { clock, held, begin, settleMs = SETTLE_MS } = this.#options;
    const known = held();
    for (const instance of this.#assigned) {
      const isHere = known.some((one) => one.instance === instance) || this.#leaving.has(instance);
      if (!isHere && !this.#forgotten.has(instance)) begin(instance);
    }
    const nowMs = clock.monotonicMs();
    if (this.#state !== 'member' || nowMs - this.#changedMs < settleMs) return;
    for (const { instance, isStuck } of known) {
      const stays = this.#assigned.has(instance) || this.#adopted.has(instance);
      if (stays || this.#leaving.has(instance) || isStuck) continue;
      if (nowMs >= (this.#notBefore.get(instance) ?? 0)) void this.#release(instance);
    }
  }

  async #release(instance: string): Promise<void> {
    const { clock, logger, release } = this.#options;
    const leaving =
      this.#leaving.get(instance) ??
      release(instance)
        .catch((cause: unknown) => {
          const error = cause instanceof Error ? cause.message : String(cause);
          logger.warn('release-failed', { instance, error });
        })
        .finally(() => {
          this.#leaving.delete(instance);
          this.#notBefore.set(instance, clock.monotonicMs() + AGAIN_MS);
        });
    this.#leaving.set(instance, leaving);
    await leaving;
  }
}
