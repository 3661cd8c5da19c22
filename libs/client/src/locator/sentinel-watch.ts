import { TidemarkError, type Clock, type Random } from '@tidemark/core';
import { backoffMs } from '../backoff.ts';
import type { NodeAddress } from '../node-address.ts';
import type { NodeClient } from '../node-client.ts';
import { jittered } from './jitter.ts';
import type { SentinelAnswer } from './sentinel-answer.ts';
import type { SentinelCircle } from './sentinel-circle.ts';
import type { SentinelPeer } from './sentinel-peer.ts';

/** What a watch needs. */
export interface WatchOptions {
  readonly circle: SentinelCircle;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly pollMs: number;
  /** Whether nothing has changed. */
  readonly isSettled: (view: SentinelAnswer) => boolean;
  /** Looks for the node to follow and tells whoever listens. */
  readonly look: () => Promise<NodeAddress>;
}

/** Polls that must agree before a node that works is left for a better one, */
const PATIENCE = 2;
/** and after looks that were in vain: what Sentinels call healthy may be out of our reach. */
const PATIENCE_MAX = 64;
const SHORT_PAUSE_MS = 500;

/**
 * Looks again and again where the node is: when a Sentinel says that the primary changed, and every
 * few seconds in case nobody said so.
 */
export class SentinelWatch {
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #options: WatchOptions;
  #listening: { readonly peer: SentinelPeer; readonly client: NodeClient } | null = null;
  #pause: AbortController | null = null;
  #switched = false;
  #unsettled = 0;
  #patience = PATIENCE;
  #failures = 0;
  #fault: unknown = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    const wake = (): void => this.#wake();
    options.signal.addEventListener('abort', wake, { once: true });
    this.ended = this.#run().finally(() => options.signal.removeEventListener('abort', wake));
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    const goesOn = (): boolean => !signal.aborted;
    while (goesOn()) {
      try {
        await this.#listen();
        await this.#check();
        this.#failures = 0;
      } catch (error) {
        // Whoever asks `locate` is told why; here it is only tried again, less and less often.
        this.#failures++;
        this.#fault = error;
      }
      if (goesOn() && !this.#switched) await this.#sleep();
    }
    await this.#listening?.client.close();
  }

  async #check(): Promise<void> {
    const { circle, isSettled, look } = this.#options;
    const told = this.#switched;
    this.#switched = false;
    const view = await circle.ask();
    const settled = isSettled(view);
    this.#unsettled = settled ? 0 : this.#unsettled + 1;
    if (settled || told) this.#patience = PATIENCE;
    if (!told && this.#unsettled < this.#patience) return;
    await look();
    if (!told && !isSettled(view)) this.#patience = Math.min(PATIENCE_MAX, this.#patience * 2);
    // A message may be earlier than the nodes are ready: one more look soon.
    this.#unsettled = told ? 1 : 0;
  }

  /** Sees to it that some Sentinel is listened to, one that answers if there is one. */
  async #listen(): Promise<void> {
    const { circle } = this.#options;
    const now = this.#listening;
    if (now?.client.isOpen === true && now.peer.answers) return;
    this.#listening = null;
    await now?.client.close();
    for (const peer of circle.listenable) {
      if (peer.isResting) continue;
      const client = await peer.listen(() => this.#told()).catch(() => null);
      if (client === null) continue;
      this.#listening = { peer, client };
      void this.#wakeAfter(client.closed);
      return;
    }
  }

  /** Not at once: a Sentinel may close every connection that listens. */
  async #wakeAfter(closed: Promise<void>): Promise<void> {
    const { clock, random, signal } = this.#options;
    await closed;
    await clock.sleep(jittered(random, SHORT_PAUSE_MS / 2, SHORT_PAUSE_MS * 2), signal).catch(
      () => undefined, // the watch has ended
    );
    this.#wake();
  }

  #told(): void {
    this.#switched = true;
    this.#wake();
  }

  async #sleep(): Promise<void> {
    const { clock, random, pollMs } = this.#options;
    const pause = new AbortController();
    this.#pause = pause;
    try {
      await clock.sleep(this.#pauseMs(random, pollMs), pause.signal);
    } catch {
      // Somebody woke us.
    } finally {
      this.#pause = null;
    }
  }

  #pauseMs(random: Random, pollMs: number): number {
    if (this.#failures > 0) {
      const pauseMs = backoffMs(this.#failures - 1, this.#fault, () => jittered(random, 0, 1));
      const mayPass = this.#fault instanceof TidemarkError && this.#fault.retryable;
      return mayPass ? Math.min(pollMs, pauseMs) : pauseMs;
    }
    if (this.#unsettled === 1) return jittered(random, SHORT_PAUSE_MS / 2, SHORT_PAUSE_MS);
    return jittered(random, pollMs * 0.8, pollMs * 1.2);
  }

  #wake(): void {
    this.#pause?.abort(new Error('woken'));
  }
}
