import { StoreError, type Clock } from '@tidemark/core';

/** How long the end waits for a store that does not answer. */
const END_MS_MAX = 30_000;

/**
 * Once `signal` is aborted, aborts `stop` after a while: the end may wait for the store, but not for
 * ever. What is not shipped then lies in the spool or in pinned files.
 */
export function boundEnd(signal: AbortSignal, stop: AbortController, clock: Clock): void {
  const late = (): void => {
    stop.abort(
      new StoreError('TM_STORE_IO', 'the store does not answer; the last segment is not shipped', {
        hint: 'nothing is lost as long as the pins stay: start the archiver again',
      }),
    );
  };
  const ended = (): void => {
    clock.sleep(END_MS_MAX, stop.signal).then(late, () => undefined);
  };
  if (signal.aborted) ended();
  else signal.addEventListener('abort', ended, { once: true, signal: stop.signal });
}
