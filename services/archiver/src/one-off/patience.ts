import type { Clock, TidemarkError } from '@tidemark/core';
import type { RetryOptions } from '../ship/retry.ts';

/** Somebody waits at a terminal, and the node can be asked again. */
const GIVE_UP_MS = 300_000;

/**
 * How long a one-off backup waits for a store or key service that fails: an archiver waits for ever,
 * since it has what nobody can give it again. What only somebody else can mend is told at once.
 */
export class Patience implements Pick<RetryOptions, 'onRetry' | 'onRecovered'> {
  readonly onRetry: RetryOptions['onRetry'];
  readonly onRecovered: RetryOptions['onRecovered'];
  #failingSinceMs: number | null = null;

  /** @param onWait - Told of each fault that is waited out. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, onWait: (error: TidemarkError) => void) {
    this.onRetry = (error) => {
      const now = clock.monotonicMs();
      this.#failingSinceMs ??= now;
      if (!error.retryable || now - this.#failingSinceMs >= GIVE_UP_MS) throw error;
      onWait(error);
    };
    this.onRecovered = () => {
      this.#failingSinceMs = null;
    };
  }
}
