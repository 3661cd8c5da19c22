import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { RewriteNeed } from '../ship/snapshot-policy.ts';

/** How long a need must last, and how long is waited after a first and a last try. Milliseconds. */
interface Patience {
  readonly lastsMs: number;
  readonly pauseMs: number;
  readonly pauseMsMax: number;
}

const PATIENCE: Readonly<Record<Exclude<RewriteNeed, 'none'>, Patience>> = {
  // What is written now cannot be restored: soon.
  'no-snapshot': { lastsMs: 2_000, pauseMs: 10_000, pauseMsMax: 3_600_000 },
  // The server mostly rewrites by itself at about this size: it goes first.
  'long-log': { lastsMs: 60_000, pauseMs: 600_000, pauseMsMax: 86_400_000 },
};

/** How long nothing must have been needed until earlier tries are forgotten, in milliseconds. */
const FORGET_MS = 600_000;

/** What a rewrite asker works with. */
export interface RewriteAskerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The need of this moment; null while it cannot be told, because a snapshot is under way. */
  readonly need: () => RewriteNeed | null;
  /** Whether the node answers, writes its log and does nothing else of the kind. */
  readonly isQuiet: () => boolean;
  /** Asks for one rewrite and waits for its end. */
  readonly ask: () => Promise<void>;
}

/**
 * Asks the node to rewrite its log when a snapshot is needed and no rewrite came by itself.
 *
 * A rewrite is a fork (I7): it is asked for only while the node is quiet, one at a time, and after
 * each try the pause doubles, until a snapshot has been enough for a while: a log that breaks again
 * and again gets a snapshot each time, and is no reason for a fork each time.
 */
export class RewriteAsker {
  readonly #options: RewriteAskerOptions;
  #need: RewriteNeed | null = null;
  #sinceMs = 0;
  #tries = 0;
  #notBeforeMs = -Infinity;
  #asking: Promise<void> | null = null;

  constructor(options: RewriteAskerOptions) {
    this.#options = options;
  }

  /** Looks whether it is time to ask; to be called often. */
  look(): void {
    const { clock, isQuiet } = this.#options;
    if (this.#asking !== null) return;
    const need = this.#options.need();
    const nowMs = clock.monotonicMs();
    if (need !== this.#need) {
      this.#need = need;
      this.#sinceMs = nowMs;
    }
    if (need === 'none' && nowMs - this.#sinceMs >= FORGET_MS) this.#tries = 0;
    if (need === null || need === 'none') return;
    if (nowMs - this.#sinceMs < PATIENCE[need].lastsMs || !isQuiet()) return;
    if (this.#tries > 0 && nowMs < this.#notBeforeMs) return;
    this.#asking = this.#ask(need).finally(() => (this.#asking = null));
  }

  /** Resolves when no request is under way. */
  async settled(): Promise<void> {
    await this.#asking;
  }

  async #ask(need: Exclude<RewriteNeed, 'none'>): Promise<void> {
    const { clock, logger, ask } = this.#options;
    const { pauseMs, pauseMsMax } = PATIENCE[need];
    logger.info('rewrite', { reason: need, tries: this.#tries });
    let code: string | null = null;
    try {
      await ask();
    } catch (cause) {
      code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
    }
    if (code !== null) logger.warn('rewrite', { reason: need, code });
    const pause = Math.min(pauseMsMax, pauseMs * 2 ** Math.min(this.#tries, 16));
    this.#notBeforeMs = clock.monotonicMs() + pause;
    this.#tries += 1;
  }
}
