import { TidemarkError, type Clock } from '@tidemark/core';

const FIRST_PAUSE_MS = 200;
const PAUSE_MS_MAX = 5_000;
/** Room in the spool comes back as soon as the store does, and to look costs nothing. */
const ROOM_PAUSE_MS_MAX = 500;
/** What only somebody else can mend is not asked for as often. */
const REFUSED_PAUSE_MS_MAX = 30_000;

/** How work on store and spool is repeated. */
export interface RetryOptions {
  readonly clock: Clock;
  /** Ends the retries. */
  readonly signal: AbortSignal;
  /** Called before each pause. */
  readonly onRetry: (error: TidemarkError) => void;
  /** Called when work succeeds that had failed before, with the codes it had failed with. */
  readonly onRecovered: (codes: ReadonlySet<string>) => void;
}

/**
 * Repeats work until it succeeds, with growing pauses: a store or key service that is away comes
 * back, and so does room in the spool or a right that somebody took away. Meanwhile the spool and
 * the pins keep what the server writes.
 * @param waitsFor - Codes of more faults that this work waits for, as for a right.
 * @throws Any error that time does not mend, at once; the signal's reason.
 */
export async function retrying<T>(
  options: RetryOptions,
  work: () => Promise<T>,
  waitsFor: readonly string[] = [],
): Promise<T> {
  const { clock, signal, onRetry, onRecovered } = options;
  const codes = new Set<string>();
  for (let attempt = 0; ; attempt++) {
    let max = PAUSE_MS_MAX;
    try {
      const result = await work();
      if (codes.size > 0) onRecovered(codes);
      return result;
    } catch (error) {
      if (!mayPass(error, waitsFor) || signal.aborted) throw error;
      codes.add(error.code);
      if (error.code === 'TM_SPOOL') max = ROOM_PAUSE_MS_MAX;
      if (REFUSALS.includes(error.code) || waitsFor.includes(error.code))
        max = REFUSED_PAUSE_MS_MAX;
      onRetry(error);
    }
    await clock.sleep(Math.min(max, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 8)), signal);
  }
}

/** Room comes back, on the disk of the spool and in the store. */
const ROOM: readonly string[] = ['TM_SPOOL', 'TM_STORE_FULL'];

/**
 * What its owner mends while we wait: a right that was taken away, a key that was disabled. To end
 * would help nobody: without a capture nobody pins the files, and once it is mended what waits goes
 * on in order. Nothing is stored without the key, and nothing is let go.
 */
const REFUSALS: readonly string[] = [
  'TM_KEY_DENIED',
  'TM_KEY_DISABLED',
  'TM_STORE_DENIED',
  'TM_STORE_CLOCK',
];

function mayPass(error: unknown, waitsFor: readonly string[]): error is TidemarkError {
  if (!(error instanceof TidemarkError)) return false;
  return error.retryable || [...ROOM, ...REFUSALS, ...waitsFor].includes(error.code);
}
