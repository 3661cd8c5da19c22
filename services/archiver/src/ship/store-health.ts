import type { TidemarkError } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { RetryOptions } from './retry.ts';

/** Knows whether store and spool take what they are given, for `status` and the log. */
export class StoreHealth {
  readonly #logger: Logger;
  #error: string | null = null;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Why work is being retried; null while all is well. */
  get error(): string | null {
    return this.#error;
  }

  readonly onRetry: RetryOptions['onRetry'] = (error: TidemarkError) => {
    if (this.#error === null) this.#logger.warn('store', { code: error.code });
    this.#error = error.message;
  };

  readonly onRecovered: RetryOptions['onRecovered'] = () => {
    if (this.#error !== null) this.#logger.info('store', { code: null });
    this.#error = null;
  };
}
