import type { TidemarkError } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { RetryOptions } from './retry.ts';

/** Knows whether store, keys and spool give and take what they are asked to, for `status` and log. */
export class StoreHealth {
  readonly #logger: Logger;
  /** What is being retried, by code: the spool may be full while the store is away. */
  readonly #errors = new Map<string, string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Why work is being retried; null while all is well. A spool that is full says why it matters. */
  get error(): string | null {
    return this.#errors.get('TM_SPOOL') ?? [...this.#errors.values()].at(-1) ?? null;
  }

  /** Whether the spool takes nothing. */
  get isSpoolFull(): boolean {
    return this.#errors.has('TM_SPOOL');
  }

  readonly onRetry: RetryOptions['onRetry'] = ({ code, message }: TidemarkError) => {
    if (!this.#errors.has(code)) this.#logger.warn('store', { code, error: message });
    this.#errors.set(code, message);
  };

  readonly onRecovered: RetryOptions['onRecovered'] = (codes) => {
    const before = this.#errors.size;
    for (const code of codes) this.#errors.delete(code);
    if (before > 0 && this.#errors.size === 0) this.#logger.info('store', { code: null });
  };
}
