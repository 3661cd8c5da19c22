import { bytesOf, type Clock } from '@tidemark/core';
import { wrappedKeyKey } from '@tidemark/archive';
import { encodeWrappedDataKey, type DataKey, type KeyProvider } from '@tidemark/crypto';
import { putSame, type ObjectStore } from '@tidemark/store';

/** Limits of one data key for segments (reliability.md 3.4: whichever comes first). */
const EPOCH_MS_MAX = 3_600_000;
const EPOCH_OBJECTS_MAX = 4_096;
const EPOCH_BYTES_MAX = 64 * 1024 ** 3;

/** Ids of stored keys that are remembered. */
const STORED_MAX = 16;

/** A data key and what has to be stored of it. */
export interface SealingKey {
  /** For the caller alone, who zero-fills it when the object is sealed. */
  readonly dataKey: DataKey;
  /** Its wrapped form: in the store before the first object sealed with it is logged. */
  readonly wrapped: Buffer;
}

interface Epoch {
  readonly key: SealingKey;
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
 * An object whose key is lost is lost: the wrapped form goes with the sealed bytes into the spool,
 * and into the store before them. The archiver only generates and never unwraps a key (design.md
 * section 5).
 */
export class DataKeys {
  readonly #options: DataKeysOptions;
  #epoch: Epoch | null = null;
  /** The epoch ends with the next segment, whatever its limits say. */
  #isOver = false;
  /** Two that ask at once get one key. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #stored = new Set<string>();

  constructor(options: DataKeysOptions) {
    this.#options = options;
  }

  /** The key of the present epoch, for what goes into the spool; begins a new one at a limit. */
  async forSpool(plainBytes: number): Promise<SealingKey> {
    const turn = this.#turn.then(() => this.#ofEpoch(plainBytes));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The key of the present epoch, its wrapped form in the store. */
  async forSegment(plainBytes: number): Promise<DataKey> {
    return this.#storedKey(await this.forSpool(plainBytes));
  }

  /** A key for one snapshot. The caller zero-fills it when the snapshot is sealed. */
  async forSnapshot(): Promise<SealingKey> {
    return this.#generate('snapshot');
  }

  /** A key for one object that is made beside the segments, its wrapped form in the store. */
  async forFacts(): Promise<DataKey> {
    return this.#storedKey(await this.#generate('segments'));
  }

  /**
   * Stores the wrapped form of a data key; nothing happens when that was done.
   * @throws StoreError, `TM_STORE_DIFFERS` when something else lies under its name.
   */
  async store(dekId: string, wrapped: Buffer): Promise<void> {
    if (this.#stored.has(dekId)) return;
    const { instance, store } = this.#options;
    await putSame(store, wrappedKeyKey(instance, dekId, 1), () => bytesOf(wrapped));
    this.#stored.add(dekId);
    const [oldest] = this.#stored;
    if (this.#stored.size > STORED_MAX && oldest !== undefined) this.#stored.delete(oldest);
  }

  /** Ends the epoch: the next segment gets a data key wrapped as the directory says then. */
  renew(): void {
    this.#isOver = true;
  }

  /** Zero-fills the key of the epoch. */
  close(): void {
    this.#epoch?.key.dataKey.key.fill(0);
    this.#epoch = null;
  }

  async #ofEpoch(plainBytes: number): Promise<SealingKey> {
    const now = this.#options.clock.monotonicMs();
    let epoch = this.#epoch;
    if (
      epoch === null ||
      this.#isOver ||
      now - epoch.sinceMs >= EPOCH_MS_MAX ||
      epoch.objects >= EPOCH_OBJECTS_MAX ||
      epoch.bytes + plainBytes > EPOCH_BYTES_MAX
    ) {
      this.#isOver = false;
      const key = await this.#generate('segments').catch((cause: unknown) => {
        this.#isOver = true;
        throw cause;
      });
      epoch?.key.dataKey.key.fill(0);
      epoch = { key, sinceMs: now, objects: 0, bytes: 0 };
      this.#epoch = epoch;
    }
    epoch.objects += 1;
    epoch.bytes += plainBytes;
    const { dataKey, wrapped } = epoch.key;
    // A copy: the epoch may end, and its key be wiped, while something is sealed with it.
    return { dataKey: { ...dataKey, key: Buffer.from(dataKey.key) }, wrapped };
  }

  async #storedKey({ dataKey, wrapped }: SealingKey): Promise<DataKey> {
    try {
      await this.store(dataKey.id, wrapped);
      return dataKey;
    } catch (cause) {
      dataKey.key.fill(0);
      throw cause;
    }
  }

  async #generate(purpose: 'segments' | 'snapshot'): Promise<SealingKey> {
    const { instance, keys } = this.#options;
    const { dataKey, wrapped } = await keys.generateDataKey({ instance, purpose });
    return { dataKey, wrapped: encodeWrappedDataKey(wrapped) };
  }
}
