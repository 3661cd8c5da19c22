import type { NodeError, Random, TidemarkError } from '@tidemark/core';

/** The longest pause before the first further try, and of all. Milliseconds. */
const FIRST_MS = 250;
const MOST_MS = 30_000;
/** The same of faults that somebody has to mend: rights, passwords, certificates, a full disk. */
const SLOW_FIRST_MS = 5_000;
const SLOW_MOST_MS = 300_000;
/** Full resyncs are counted for so long; the first few come at once. */
const WINDOW_MS = 3_600_000;
const FREE_SYNCS = 3;
const SYNC_PAUSE_MS = 15_000;
const SYNC_PAUSE_MOST_MS = 1_200_000;

/**
 * How long a link waits before it tries again: exponential with full jitter, so that many archivers
 * do not come back at the same moment; and how often a node may be asked for a full resync, which is
 * a fork (I7): after the third within an hour pauses double, which makes eleven an hour at most.
 */
export class LinkPace {
  readonly #random: Random;
  #failures = 0;
  #slowFailures = 0;
  #syncs: number[];

  /** @param pastSyncs - When an earlier run began full resyncs, by the same clock; negative or not. */
  constructor(random: Random, pastSyncs: readonly number[] = []) {
    this.#random = random;
    this.#syncs = [...pastSyncs];
  }

  /** The link was up for a while: earlier faults are over. */
  noteSteady(): void {
    this.#failures = 0;
    this.#slowFailures = 0;
  }

  /** @returns Milliseconds until the next try. */
  afterFault(cause: TidemarkError | NodeError): number {
    if (cause.retryable) {
      const most = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(this.#failures++, 16));
      return most * this.#share();
    }
    const most = Math.min(SLOW_MOST_MS, SLOW_FIRST_MS * 2 ** Math.min(this.#slowFailures++, 16));
    // Never soon: each try stands in a log of the node.
    return most / 2 + (most / 2) * this.#share();
  }

  /** A full resync was begun. */
  noteSync(nowMs: number): void {
    this.#syncs.push(nowMs);
  }

  /** @returns Milliseconds until the next full resync may be asked for; 0: at once. */
  untilSync(nowMs: number): number {
    this.#syncs = this.#syncs.filter((at) => nowMs - at < WINDOW_MS);
    const over = this.#syncs.length - FREE_SYNCS;
    if (over < 0) return 0;
    const pause = Math.min(SYNC_PAUSE_MOST_MS, SYNC_PAUSE_MS * 2 ** over);
    return Math.max(0, (this.#syncs.at(-1) ?? 0) + pause - nowMs);
  }

  /** Between 0 and 1. */
  #share(): number {
    return this.#random.bytes(4).readUInt32BE() / 0xffff_ffff;
  }
}
