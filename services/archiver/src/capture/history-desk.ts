import { connectNode, type NodeLocator } from '@tidemark/client';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';

const SETTING = 'aof-disable-auto-gc';
/** Between two looks, and between two times that the setting is made sure of. */
const LOOK_MS = 2_000;
const ENSURE_MS = 60_000;

/** The files that a server keeps although its log does without them. */
export interface KeptHistory {
  readonly files: number;
  readonly bytes: number;
  /** Whether one of them was not read to its end, or what was read is not durable. */
  readonly needed: boolean;
}

/** What a history desk works with. */
export interface HistoryDeskOptions {
  readonly locator: NodeLocator;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly bytesMax: number;
  readonly ageMaxMs: number;
  readonly history: () => KeptHistory | null;
  /** Whether the node answers and does nothing heavy. */
  readonly isQuiet: () => boolean;
}

/**
 * Lets a server keep the files that a rewrite makes needless, until they are archived: the pin class
 * `hold`, for hosts on which nothing can be linked.
 *
 * The server would keep them for ever (I7: its disk is not ours to fill). They go, all at once, when
 * none is needed any more, or when they cost more than a pin may.
 */
export class HistoryDesk {
  readonly #options: HistoryDeskOptions;
  #lookedAtMs = -Infinity;
  #ensuredAtMs = -Infinity;
  #keptSinceMs: number | null = null;
  #working: Promise<void> | null = null;

  constructor(options: HistoryDeskOptions) {
    this.#options = options;
  }

  /** Looks whether there is something to do; to be called often. */
  look(): void {
    const { clock, isQuiet } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#working !== null || nowMs - this.#lookedAtMs < LOOK_MS || !isQuiet()) return;
    this.#lookedAtMs = nowMs;
    const trim = this.#mayGo(nowMs);
    if (!trim && nowMs - this.#ensuredAtMs < ENSURE_MS) return;
    this.#working = this.#set(trim).finally(() => (this.#working = null));
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#working;
  }

  #mayGo(nowMs: number): boolean {
    const { history, bytesMax, ageMaxMs } = this.#options;
    const kept = history();
    if (kept === null || kept.files === 0) {
      this.#keptSinceMs = null;
      return false;
    }
    this.#keptSinceMs ??= nowMs;
    return !kept.needed || kept.bytes > bytesMax || nowMs - this.#keptSinceMs > ageMaxMs;
  }

  /** A server forgets the setting with its process, so it is set anew now and then. */
  async #set(trim: boolean): Promise<void> {
    const { locator, clock, logger, signal } = this.#options;
    try {
      const address = await locator.locate(signal);
      await using client = await connectNode(address, { timeoutMs: 5_000, signal });
      if (trim) await client.configSet(SETTING, 'no'); // it removes them at once
      await client.configSet(SETTING, 'yes');
      this.#ensuredAtMs = clock.monotonicMs();
      if (trim) logger.info('history-let-go');
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || signal.aborted) return;
      logger.warn('history', { code: cause.code, error: cause.message });
    }
  }
}
