import type { Clock } from '@tidemark/core';
import type { HeldWork } from './fleet-desk.ts';

/** A host that owns no log has to have reached the store within this. */
const REACH_MS = 30_000;
/** What a host is given no work for after a try that failed at the store or a key; doubled up to the second value. */
const FIRST_BAR_MS = 60_000;
const BAR_MS_MAX = 1_800_000;
/** So long without such a failure, and the next one counts as the first. */
const FORGET_MS = 3_600_000;

/** What fitness is judged with. */
export interface HostFitnessOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** An owner that is silent for longer may be deposed. */
  readonly silenceMs: number;
}

/**
 * Whether a host can do what a fleet gives to it.
 *
 * One that owns logs shows it by its entries. One that owns none has to reach the store, or it would be
 * given what another host captures well; and where what it tried has failed at the store or at a key
 * it stands back for a while, which grows, so that one instance that nobody can capture keeps no host
 * out for good.
 */
export class HostFitness {
  readonly #options: HostFitnessOptions;
  #reachedMs = -Infinity;
  #barredUntilMs = -Infinity;
  #bars = 0;
  /** The newest failure that is known, by instance. */
  readonly #failures = new Map<string, number>();

  constructor(options: HostFitnessOptions) {
    this.#options = options;
  }

  /** The store gave an answer just now that only the right store and keys give. */
  reached(): void {
    this.#reachedMs = this.#options.clock.monotonicMs();
  }

  /** Whether its log has an entry of this host so new that nobody can have claimed it since. */
  isHeard({ isOwner, silentMs }: HeldWork): boolean {
    return isOwner && silentMs !== null && silentMs < this.#options.silenceMs;
  }

  /** @param held - What is captured here, or waited for, of what is shared out. */
  isFit(held: readonly HeldWork[]): boolean {
    const { clock, silenceMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const hasFailed = this.#hasFailed(held);
    const owned = held.filter(({ isOwner }) => isOwner);
    if (owned.some(({ silentMs }) => (silentMs ?? 0) < silenceMs)) {
      this.#reachedMs = nowMs;
      return true;
    }
    if (owned.length > 0) return false;
    if (nowMs < this.#barredUntilMs) return false;
    if (hasFailed) this.#bar(nowMs);
    return !hasFailed && nowMs - this.#reachedMs < REACH_MS;
  }

  #bar(nowMs: number): void {
    if (nowMs - this.#barredUntilMs > FORGET_MS) this.#bars = 0;
    this.#barredUntilMs = nowMs + Math.min(BAR_MS_MAX, FIRST_BAR_MS * 2 ** this.#bars);
    this.#bars = Math.min(this.#bars + 1, 16);
  }

  /** Whether something failed at the store or a key since the last look. */
  #hasFailed(held: readonly HeldWork[]): boolean {
    let found = false;
    for (const { instance, barredMs } of held) {
      if (barredMs === null || this.#failures.get(instance) === barredMs) continue;
      this.#failures.set(instance, barredMs);
      found = true;
    }
    return found;
  }
}
