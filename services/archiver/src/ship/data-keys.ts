import { bytesOf, type Clock } from '@tidemark/core';
import { wrappedKeyKey } from '@tidemark/archive';
import { encodeWrappedDataKey, type DataKey, type KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';

/** Limits of one data key for segments (reliability.md 3.4: whichever comes first). */
const EPOCH_MS_MAX = 3_600_000;
const EPOCH_OBJECTS_MAX = 4_096;
const EPOCH_BYTES_MAX = 64 * 1024 ** 3;

interface Epoch {
  readonly dataKey: DataKey;
  readonly sinceMs: number;
  objects: number;
  bytes: number;
}

/** What the keeper of data keys works with. */
export interface DataKeysOptions {
  readonly instance: string;
  readonly keys: KeyProvider;
  readonly store: ObjectStore;
  readonly clock: Clock;
}

/**
 * Hands out data keys: one per epoch for segments, a fresh one for each snapshot.
 *
 * The wrapped form is in the store before the first object sealed with a key is: an object whose
 * key is lost is lost. The archiver only generates and never unwraps a key (design.md section 5).
 */
export class DataKeys {
  readonly #options: DataKeysOptions;
  #epoch: Epoch | null = null;
  /** The epoch ends with the next segment, whatever its limits say. */
  #isOver = false;

  constructor(options: DataKeysOptions) {
    this.#options = options;
  }

  /** The key of the present epoch; begins a new one when a limit is reached. */
  async forSegment(plainBytes: number): Promise<DataKey> {
    const now = this.#options.clock.monotonicMs();
    const epoch = this.#epoch;
    if (
      epoch === null ||
      this.#isOver ||
      now - epoch.sinceMs >= EPOCH_MS_MAX ||
      epoch.objects >= EPOCH_OBJECTS_MAX ||
      epoch.bytes + plainBytes > EPOCH_BYTES_MAX
    ) {
      this.#isOver = false;
      const dataKey = await this.#generate('segments').catch((cause: unknown) => {
        this.#isOver = true;
        throw cause;
      });
      epoch?.dataKey.key.fill(0);
      this.#epoch = { dataKey, sinceMs: now, objects: 1, bytes: plainBytes };
      return dataKey;
    }
    epoch.objects += 1;
    epoch.bytes += plainBytes;
    return epoch.dataKey;
  }

  /** A key for one snapshot. The caller zero-fills it when the snapshot is sealed. */
  async forSnapshot(): Promise<DataKey> {
    return this.#generate('snapshot');
  }

  /** A key for one object that is made beside the segments. The caller zero-fills it. */
  async forFacts(): Promise<DataKey> {
    return this.#generate('segments');
  }

  /** Ends the epoch: the next segment gets a data key wrapped as the directory says then. */
  renew(): void {
    // Not wiped here: a segment may be sealed with the key at this moment.
    this.#isOver = true;
  }

  /** Zero-fills the key of the epoch. */
  close(): void {
    this.#epoch?.dataKey.key.fill(0);
    this.#epoch = null;
  }

  async #generate(purpose: 'segments' | 'snapshot'): Promise<DataKey> {
    const { instance, keys, store } = this.#options;
    const { dataKey, wrapped } = await keys.generateDataKey({ instance, purpose });
    const key = wrappedKeyKey(instance, dataKey.id, 1);
    try {
      await store.putIfAbsent(key, bytesOf(encodeWrappedDataKey(wrapped)));
      return dataKey;
    } catch (cause) {
      dataKey.key.fill(0);
      throw cause;
    }
  }
}
