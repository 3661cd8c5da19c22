import { readInstanceRecord } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { CaptureSetting } from '../open-capture.ts';

const LOOK_MS = 5_000;
/** A store that takes longer for one small object is none to capture into. */
const ANSWER_MS = 5_000;
/** Records that are asked for at one look: one of an instance that is gone says nothing. */
const ASKED_MAX = 4;

/** What the store is tried with. */
export interface StoreReachOptions extends Pick<
  CaptureSetting,
  'store' | 'keys' | 'clock' | 'logger'
> {
  readonly instances: readonly string[];
  /** Whether it has to be known: nothing else shows it. */
  readonly isAsked: () => boolean;
  /** Told each time that a record was read, and opened with its key. */
  readonly onReached: () => void;
}

/** Reads a record of the store every few seconds while that is all that shows whether it is reached. */
export async function watchReach(options: StoreReachOptions, signal: AbortSignal): Promise<void> {
  const { clock, logger, isAsked, onReached } = options;
  const isOver = (): boolean => signal.aborted;
  let told = '';
  for (let look = 0; !isOver(); look++) {
    if (isAsked()) {
      const failure = await tryRecords(options, look, signal);
      if (isOver()) return;
      if (failure === null) onReached();
      else if (failure.code !== told) {
        logger.warn('fleet-store-away', { code: failure.code, error: failure.message });
      }
      told = failure?.code ?? '';
    }
    await clock.sleep(LOOK_MS, signal).catch(() => undefined);
  }
}

/** @returns What the last record failed with; null once one was read. */
async function tryRecords(
  { instances, store, keys }: StoreReachOptions,
  look: number,
  signal: AbortSignal,
): Promise<TidemarkError | null> {
  let failure: TidemarkError | null = null;
  for (let each = 0; each < Math.min(ASKED_MAX, instances.length); each++) {
    const iid = instances[(look * ASKED_MAX + each) % instances.length] ?? '';
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      const logKey = await keys.logKey(iid);
      await readInstanceRecord({ store, iid, logKey, signal: inTime });
      return null;
    } catch (cause) {
      if (signal.aborted) return null;
      if (cause instanceof TidemarkError) failure = cause;
      else if (!inTime.aborted) throw cause;
      else failure = new TidemarkError('TM_STORE_IO', 'the store did not answer in time');
      if (failure.retryable) return failure; // the others would wait as long
    }
  }
  return failure;
}
