import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';

/** How often the log of an instance is asked for its policy: who sets one here has it asked at once. */
const LOOK_MS = 300_000;

/** What is asked of the policy of an instance, and done for it. */
export interface FlashbackPort {
  /** Whether the log between backups is to be kept. */
  isOn(): Promise<boolean>;
  /** Whether a timeline is open that a capture has to end first. */
  hasOpenTimeline(): Promise<boolean>;
  /** Takes away what only a capture needs. */
  tidy(): Promise<void>;
}

/** What a flashback watch works with. */
export interface FlashbackWatchOptions {
  readonly port: FlashbackPort;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: five minutes. */
  readonly lookMs?: number;
}

/**
 * Knows whether the policy of an instance wants its log kept. While it does not, no capture runs, and
 * backups are made one at a time by themselves.
 */
export class FlashbackWatch {
  readonly #options: FlashbackWatchOptions;
  #isOff = false;
  #isResting = false;
  #work: Promise<unknown> | null = null;
  #wake = (): void => undefined;

  constructor(options: FlashbackWatchOptions) {
    this.#options = options;
  }

  /** Whether no capture runs, as the policy has it. */
  get isResting(): boolean {
    return this.#isResting;
  }

  /** Whether a backup is being made by itself. */
  get isBackingUp(): boolean {
    return this.#work !== null;
  }

  /**
   * Reads the policy. What cannot be read leaves it as it was known.
   * @returns Whether flashback is on.
   */
  async look(): Promise<boolean> {
    const { port, logger } = this.#options;
    try {
      this.#isOff = !(await port.isOn());
    } catch (cause) {
      // Whatever it is: the capture beside it goes on.
      const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
      const error = cause instanceof Error ? cause.message : String(cause);
      logger.warn('policy-not-read', { code, error });
    }
    return !this.#isOff;
  }

  /** Looks again now, and acts on it. */
  wake(): void {
    this.#wake();
  }

  /** Beside a capture: calls `leave` once flashback is off. */
  async watch(leave: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const isOver = (): boolean => signal.aborted;
    while (!this.#isOff && !isOver()) {
      await this.#pause(signal);
      if (!isOver()) await this.look();
    }
    if (!isOver()) await leave();
  }

  /**
   * Waits until flashback is on; at once where it is, or where a capture has to end a timeline first.
   * @param onRest - Called when it begins to wait.
   */
  async rest(onRest: () => void, signal: AbortSignal): Promise<void> {
    const { port, logger } = this.#options;
    const isOver = (): boolean => signal.aborted;
    if ((await this.look()) || (await port.hasOpenTimeline())) return;
    this.#isResting = true;
    try {
      onRest();
      logger.info('snapshots-only');
      await port.tidy().catch((cause: unknown) => {
        const error = cause instanceof Error ? cause.message : String(cause);
        logger.warn('not-tidied', { error });
      });
      while (this.#isOff && !isOver()) {
        await this.#pause(signal);
        if (!isOver()) await this.look();
      }
      // Its log may be the one that the capture claims.
      await this.#work?.catch(() => undefined);
    } finally {
      this.#isResting = false;
    }
  }

  /**
   * Makes a backup while no capture runs.
   * @throws TidemarkError `TM_BUSY` while one is being made; what `work` throws.
   */
  async backup<T>(work: () => Promise<T>): Promise<T> {
    if (this.#work !== null) {
      throw new TidemarkError('TM_BUSY', 'a backup of this instance is being made', {
        hint: 'wait until it stands in: tidemark backup list ID',
      });
    }
    const made = work();
    this.#work = made;
    try {
      return await made;
    } finally {
      this.#work = null;
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { clock, lookMs = LOOK_MS } = this.#options;
    const woken = new AbortController();
    this.#wake = () => woken.abort(new Error('look now'));
    await clock.sleep(lookMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
  }
}
