import { TidemarkError, type Clock } from '@tidemark/core';

const FIRST_PAUSE_MS = 200;
const PAUSE_MS_MAX = 30_000;

/** How work on store and spool is repeated. */
export interface RetryOptions {
  readonly clock: Clock;
  /** Ends the retries. */
  readonly signal: AbortSignal;
  /** Called before each pause. */
  readonly onRetry: (error: TidemarkError) => void;
  /** Called when work succeeds that had failed before. */
  readonly onRecovered: () => void;
}

/**
 * Repeats work until it succeeds, with growing pauses: a store or key service that is away comes
 * back, and so does room in the spool. Meanwhile the pins keep what the server writes.
 * @throws Any error that time does not mend, at once; the signal's reason.
 */
export async function retrying<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
  const { clock, signal, onRetry, onRecovered } = options;
  for (let attempt = 0; ; attempt++) {
    try {
      const result = await work();
      if (attempt > 0) onRecovered();
      return result;
    } catch (error) {
      if (!mayPass(error) || signal.aborted) throw error;
      onRetry(error);
    }
    await clock.sleep(Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 8)), signal);
  }
}

/**
 * What its owner mends while we wait: room on the disk of the spool and in the store; a key that was
 * disabled, or its policy changed. Nothing is stored without the key, and nothing is let go.
 */
const MENDED: readonly string[] = ['TM_SPOOL', 'TM_STORE_FULL', 'TM_KEY_DENIED', 'TM_KEY_DISABLED'];

function mayPass(error: unknown): error is TidemarkError {
  return error instanceof TidemarkError && (error.retryable || MENDED.includes(error.code));
}
