/** The only way to the time. Adapters are made in a service's main.ts. */
export interface Clock {
  /** Wall clock in milliseconds since the Unix epoch. May step. */
  nowMs(): number;
  /** Milliseconds on a clock that never steps; only differences mean something. */
  monotonicMs(): number;
  /**
   * Waits.
   * @param delayMs - Milliseconds, 0 or more.
   * @throws The signal's reason when it is aborted.
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}
