import type { InstanceLog, InstanceState } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { KeyProvider, WrappingKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { dataKeysOf, type KeyGeneration } from '../fetch/key-generations.ts';
import { rewrapOne, type RewrapOutcome } from './rewrap-one.ts';

/** Data keys that are worked on at a time. */
const PARALLEL = 4;
/** Faults that are listed; more are only counted. */
const FAULTS_LISTED_MAX = 100;

/** What a rewrapping works with. */
export interface RewrapOptions {
  readonly instance: string;
  /** The key to wrap with; of the ring: its newest version. */
  readonly target: WrappingKey;
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  /** Of the instance: says which keys were destroyed meanwhile. */
  readonly log: InstanceLog;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

/** A data key that could not be wrapped anew; what it was wrapped with stays. */
export interface RewrapFault {
  readonly dekId: string;
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
}

/** What a rewrapping did. */
export interface RewrapReport {
  /** Data keys of the instance. */
  readonly keys: number;
  /** Wrapped anew now. */
  readonly rewrapped: number;
  /** Wrapped with the target before. */
  readonly present: number;
  /** Not test-opened, for the right is not there: their older generations stay. */
  readonly untested: number;
  /** Older generations that were removed, every version counted. */
  readonly removed: number;
  readonly faultCount: number;
  readonly faults: readonly RewrapFault[];
}

/**
 * Wraps every data key of an instance with another key, or with the newest version of the ring. Only
 * key objects are written; what the data keys sealed is not touched.
 *
 * Each key gets a new generation beside the old one; that is opened, and only then is the older one
 * removed: whenever this ends, at least one generation of each key opens. Run again, it goes on
 * where it was, and does nothing where nothing is left to do.
 * @throws KeyError, StoreError for what would hit every key (a service that is away, no room); the
 *   signal's reason. What is wrong with single keys stands in the report.
 */
export async function rewrapKeys(options: RewrapOptions): Promise<RewrapReport> {
  const { instance, store, signal, onProgress, log } = options;
  const tally = new RewrapTally();
  const shreddedBefore = log.state.shredded.instanceMs;
  const groups = dataKeysOf(instance, store, signal);
  const work = async (): Promise<void> => {
    for (;;) {
      signal.throwIfAborted();
      const next = await groups.next();
      if (next.done === true) return;
      const outcome = await guarded(next.value, options, tally);
      if (outcome?.written != null) {
        await log.catchUp();
        if (isDestroyed(log.state, outcome.dekId, shreddedBefore)) await outcome.undo();
      }
      onProgress(tally.keys);
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, work));
  } finally {
    await groups.return();
  }
  return tally.report();
}

/** Somebody destroyed the key while it was wrapped anew: the new generation must go too. */
function isDestroyed(
  { shredded }: InstanceState,
  dekId: string,
  shreddedBefore: number | null,
): boolean {
  return shredded.instanceMs !== shreddedBefore || shredded.dekIds.includes(dekId);
}

async function guarded(
  generations: readonly KeyGeneration[],
  options: RewrapOptions,
  tally: RewrapTally,
): Promise<RewrapOutcome | null> {
  try {
    const outcome = await rewrapOne(generations, options);
    tally.add(outcome);
    return outcome;
  } catch (cause) {
    const passing = cause instanceof TidemarkError && cause.retryable;
    if (!(cause instanceof TidemarkError) || passing || options.signal.aborted) throw cause;
    tally.fault(generations[0]?.dekId ?? '', cause);
    return null;
  }
}

class RewrapTally {
  keys = 0;
  #rewrapped = 0;
  #present = 0;
  #untested = 0;
  #removed = 0;
  #faultCount = 0;
  readonly #faults: RewrapFault[] = [];

  add(outcome: RewrapOutcome): void {
    this.keys += 1;
    if (outcome.written === null) this.#present += 1;
    else this.#rewrapped += 1;
    if (!outcome.tested) this.#untested += 1;
    this.#removed += outcome.removed;
  }

  fault(dekId: string, { code, exitCode, message }: TidemarkError): void {
    this.keys += 1;
    this.#faultCount += 1;
    if (this.#faults.length < FAULTS_LISTED_MAX) {
      this.#faults.push({ dekId, code, exitCode, message });
    }
  }

  report(): RewrapReport {
    return {
      keys: this.keys,
      rewrapped: this.#rewrapped,
      present: this.#present,
      untested: this.#untested,
      removed: this.#removed,
      faultCount: this.#faultCount,
      faults: this.#faults,
    };
  }
}
