import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import {
  failedStatus,
  restingStatus,
  waitingStatus,
  type CaptureFailure,
  type CaptureStatus,
} from './capture-status.ts';
import { isOneOffOwner } from '../one-off/dump-log.ts';
import { isLost } from './follows-log.ts';
import type { FlashbackWatch } from '../flashback/flashback-watch.ts';
import type { NodeCapture } from './node-capture.ts';

/** Pause after the first failure; it doubles up to the second value. */
const FIRST_PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 60_000;
/** A capture that ran for this long has got over what ailed it before. */
const STEADY_MS = 300_000;
/** How long a change of the policy may take to be carried out, and how often that is looked at. */
const APPLY_MS = 40_000;
const APPLY_LOOK_MS = 20;

/** What a kept capture works with. */
export interface KeptCaptureOptions {
  readonly instance: string;
  /** Claims the log and makes a capture of it that does not run yet. */
  readonly open: () => Promise<NodeCapture>;
  /**
   * Waits before each try until the log may be claimed. Where it is given, a log that belongs to
   * another archiver is waited for; else it is left alone for good.
   */
  readonly turn?: (signal: AbortSignal) => Promise<void>;
  /** Work beside the capture that `open` made last, from when it reads until the signal is aborted. */
  readonly flashback?: FlashbackWatch;
  readonly beside: (capture: NodeCapture, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps one instance captured: a capture that fails is begun anew after a pause, until it is told to
 * stop. Only a log that belongs to another archiver is left alone for good, or waited for; one of a
 * one-off backup, which may have been killed, is tried again.
 *
 * What one instance runs into stops no other one; `status` shows it.
 */
export class KeptCapture {
  readonly #options: KeptCaptureOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  readonly #begun: Promise<void>;
  #capture: NodeCapture | null = null;
  #failure: CaptureFailure | null = null;
  #over = false;
  #isLost = false;
  #isWaiting = false;
  #isReading = false;

  constructor(options: KeptCaptureOptions) {
    this.#options = options;
    let begun = (): void => undefined;
    let notBegun = (_: unknown): void => undefined;
    this.#begun = new Promise((resolve, reject) => {
      begun = resolve;
      notBegun = reject;
    });
    this.#begun.catch(() => undefined); // whoever wants to know asks
    this.#done = this.#run(begun, notBegun);
    this.#done.catch(() => undefined);
  }

  /** Whether it has ended for good: it was stopped, or its log belongs to another archiver. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether its log belongs to another archiver. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Whether it waits for a log that another archiver owns. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** Whether no capture runs, since the policy has flashback off. */
  get isResting(): boolean {
    return this.#options.flashback?.isResting ?? false;
  }

  /** Resolves when the first try reads the log of the node, rejects with what it failed with. */
  get begun(): Promise<void> {
    return this.#begun;
  }

  /** Resolves when it has ended; rejects with what its last capture ended in. */
  get done(): Promise<void> {
    return this.#done;
  }

  /**
   * The capture that runs now.
   * @throws TidemarkError with the code of what it failed with, while it waits for its next try.
   */
  get running(): NodeCapture {
    if (this.#capture !== null) return this.#capture;
    if (this.isResting) {
      throw new TidemarkError('TM_FLASHBACK_OFF', 'flashback is off: only backups are made', {
        hint: 'switch it on with: tidemark policy set ID --flashback on',
      });
    }
    const failure = this.#failure;
    if (failure === null) {
      throw new TidemarkError('TM_ARCHIVER_DOWN', 'the capture of this instance has not begun');
    }
    const { code, message, hint } = failure;
    throw new TidemarkError(code, message, hint === null ? {} : { hint });
  }

  /** @throws As `running`, while no capture runs. */
  assertRunning(): void {
    if (this.running !== this.#capture) throw new TidemarkError('TM_ARCHIVER_DOWN', 'it has ended');
  }

  /** What there is to say now. */
  status(): CaptureStatus {
    const { instance } = this.#options;
    const running = this.#capture?.status() ?? null;
    if (running !== null && this.#failure === null) return running;
    if (this.#isWaiting) return waitingStatus(instance);
    if (this.isResting) {
      return restingStatus(instance, this.#options.flashback?.isBackingUp);
    }
    return running ?? failedStatus(instance, this.#failure);
  }

  /** Ships what there is and ends; a log is released. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the capture is stopped'));
    await this.#done;
  }

  /**
   * As `stop`, and the capture that runs closes its timeline with the reason `detached`.
   * @returns Whether one ran.
   */
  async detach(): Promise<boolean> {
    const capture = this.#capture;
    await capture?.roll().catch(() => undefined); // as much as can be had
    capture?.closeAtEnd('detached', 'the instance was removed');
    const ran = capture !== null && capture === this.#capture;
    await this.stop().catch((cause: unknown) => {
      if (!this.#isLost) throw cause;
    });
    return ran;
  }

  /**
   * Reads the policy, and waits a while for what follows from it.
   * @returns Whether flashback is on, and whether that is carried out.
   */
  async followPolicy(): Promise<{ readonly flashback: boolean; readonly done: boolean }> {
    const { flashback: watch, clock } = this.#options;
    if (watch === undefined) return { flashback: true, done: true };
    const flashback = await watch.look();
    watch.wake();
    const isDone = (): boolean => (flashback ? this.#isReading : this.isResting);
    const deadline = clock.monotonicMs() + APPLY_MS;
    const isVain = (): boolean => this.#over || this.#failure !== null || this.#isWaiting;
    while (!isDone() && !isVain() && clock.monotonicMs() < deadline) {
      await clock.sleep(APPLY_LOOK_MS, this.#stop.signal).catch(() => undefined);
    }
    return { flashback, done: isDone() };
  }

  async #run(begun: () => void, notBegun: (cause: unknown) => void): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    const isTold = (): boolean => signal.aborted;
    try {
      for (let failures = 0; !isTold(); failures++) {
        const sinceMs = clock.monotonicMs();
        try {
          if (!(await this.#isItsTurn())) return;
          await this.#options.flashback?.rest(begun, signal);
          if (isTold() || !(await this.#once(begun))) return;
          failures = -1;
          continue;
        } catch (cause) {
          if (isTold()) throw cause;
          notBegun(cause);
          this.#isLost = isLost(cause) && !isPassing(cause);
          if (this.#isLost && this.#options.turn !== undefined) {
            this.#noteLost(cause);
          } else {
            this.#note(cause);
            if (this.#isLost) throw cause;
          }
        }
        if (clock.monotonicMs() - sinceMs >= STEADY_MS) failures = 0;
        const pause = Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** Math.min(failures, 16));
        await clock.sleep(pause, signal).catch(() => undefined);
      }
    } finally {
      this.#over = true;
      begun();
    }
  }

  /** @returns False when it was told to stop before. */
  async #isItsTurn(): Promise<boolean> {
    const { turn } = this.#options;
    if (turn === undefined) return true;
    const { signal } = this.#stop;
    this.#isWaiting = true;
    try {
      await turn(signal);
      return !signal.aborted;
    } catch (cause) {
      if (!signal.aborted) throw cause;
      return false;
    } finally {
      this.#isWaiting = false;
    }
  }

  /** @returns Whether it ended since the policy has flashback off. */
  async #once(begun: () => void): Promise<boolean> {
    const { flashback } = this.#options;
    const capture = await this.#options.open();
    this.#capture = capture;
    const [over, left] = [new AbortController(), new AbortController()];
    let beside = Promise.resolve();
    let watching = Promise.resolve();
    const leave = async (): Promise<void> => {
      // One that was begun for this reads on to where the node is.
      while (capture.status().state === 'starting' && !over.signal.aborted) {
        await this.#options.clock.sleep(APPLY_LOOK_MS, over.signal).catch(() => undefined);
      }
      await capture.roll().catch(() => undefined); // as much as can be had
      capture.closeAtEnd('detached', 'flashback was switched off');
      left.abort(new Error('flashback is off'));
    };
    try {
      await capture.run(AbortSignal.any([this.#stop.signal, left.signal]), () => {
        this.#failure = null;
        this.#isReading = true;
        begun();
        watching = flashback?.watch(leave, over.signal) ?? watching;
        beside = this.#options.beside(capture, over.signal).catch((cause: unknown) => {
          const error = cause instanceof Error ? cause.message : String(cause);
          this.#options.logger.error('beside-failed', { error });
        });
      });
    } finally {
      this.#isReading = false;
      over.abort(new Error('the capture ended'));
      await Promise.all([beside, watching]);
      this.#capture = null;
    }
    return left.signal.aborted && !this.#stop.signal.aborted;
  }

  /** Who owns the log goes on with it: there is nothing to mend. */
  #noteLost(cause: unknown): void {
    const error = cause instanceof Error ? cause.message : String(cause);
    this.#failure = null;
    this.#options.logger.warn('capture-lost', { error });
  }

  #note(cause: unknown): void {
    const known = cause instanceof TidemarkError;
    const message = cause instanceof Error ? cause.message : String(cause);
    const code = known ? cause.code : 'TM_INTERNAL';
    const hint = known ? (cause.hint ?? null) : null;
    this.#failure = { code, message, hint, sinceMs: this.#options.clock.nowMs() };
    this.#options.logger.error('capture-failed', { code, error: message, hint });
  }
}

/** A one-off backup has the log for as long as it lasts, or until it shows no life. */
function isPassing(cause: unknown): boolean {
  const owner = cause instanceof TidemarkError ? cause.context['ownerId'] : null;
  return typeof owner === 'string' && isOneOffOwner(owner);
}
