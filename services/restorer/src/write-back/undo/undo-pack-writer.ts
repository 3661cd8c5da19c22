import {
  packUndo,
  undoPartKey,
  wrappedKeyKey,
  type UndoHead,
  type UndoItem,
} from '@tidemark/archive';
import { bytesOf, TidemarkError, type Clock, type Random } from '@tidemark/core';
import {
  COMPRESSION,
  encodeWrappedDataKey,
  OBJECT_KIND,
  Sealer,
  sealStream,
  wipeDataKey,
  type DataKey,
  type KeyProvider,
} from '@tidemark/crypto';
import { putSame, type ObjectStore } from '@tidemark/store';
import { undoIdentity } from './undo-objects.ts';

/** What an undo pack is written with. */
export interface UndoPackOptions {
  readonly instance: string;
  /** Id of the restore or undo that the pack belongs to. */
  readonly restore: string;
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly random: Random;
  readonly clock: Clock;
  /** How long the pack is good for, from its last part on. */
  readonly retainMs: number;
  /** Number of the first part to be written: above 0 when a restore goes on. */
  readonly firstPart: number;
  readonly signal: AbortSignal;
}

/**
 * Writes the parts of an undo pack. When `write` has resolved the part is in the store: only then the
 * keys in it may be written. Disposing wipes the data key.
 */
export class UndoPackWriter implements Disposable {
  readonly #options: UndoPackOptions;
  readonly #createdMs: number;
  #dataKey: DataKey | null = null;
  #part: number;
  #keys = 0;
  #expiresMs = 0;

  constructor(options: UndoPackOptions) {
    this.#options = options;
    this.#createdMs = options.clock.nowMs();
    this.#part = options.firstPart;
    this.#renew();
  }

  /** Key items written so far. */
  get keys(): number {
    return this.#keys;
  }

  get expiresMs(): number {
    return this.#expiresMs;
  }

  /**
   * Writes a part.
   * @param keys - How many key items there will be.
   * @param signal - Null: not to be called off.
   * @throws StoreError, KeyError; TidemarkError `TM_BUSY` when another process writes this pack;
   *   whatever `items` throws. Nothing of the part is left then.
   */
  async write(
    keys: number,
    items: Iterable<UndoItem> | AsyncIterable<UndoItem>,
    signal: AbortSignal | null = this.#options.signal,
  ): Promise<void> {
    const { instance, restore, store, random } = this.#options;
    const part = this.#part;
    const dataKey = await this.#openKey();
    // A run may take longer than its pack is kept: what it still writes under is never over its time.
    this.#renew();
    const head: UndoHead = {
      ...{ instance, restore, part, keys },
      createdMs: this.#createdMs,
      expiresMs: this.expiresMs,
    };
    const sealer = new Sealer({
      dataKey,
      kind: OBJECT_KIND.undoPack,
      compression: COMPRESSION.zstd,
      identity: undoIdentity(head),
      random,
    });
    const key = undoPartKey(instance, restore, part);
    const sealed = sealStream(packUndo(head, items), sealer);
    const outcome = await store.putIfAbsent(key, sealed, signal === null ? {} : { signal });
    if (outcome === 'exists') {
      throw new TidemarkError('TM_BUSY', `another process writes undo pack ${restore}`, {
        context: { object: key },
      });
    }
    this.#part += 1;
    this.#keys += keys;
  }

  /** The last part has the latest expiry, whatever the clock does. */
  #renew(): void {
    const { clock, retainMs } = this.#options;
    this.#expiresMs = Math.max(this.#expiresMs, clock.nowMs() + retainMs);
  }

  [Symbol.dispose](): void {
    if (this.#dataKey !== null) wipeDataKey(this.#dataKey);
  }

  /** The wrapped form is in the store before anything is sealed with a key. */
  async #openKey(): Promise<DataKey> {
    if (this.#dataKey !== null) return this.#dataKey;
    const { instance, keys, store } = this.#options;
    const { dataKey, wrapped } = await keys.generateDataKey({ instance, purpose: 'undo' });
    const key = wrappedKeyKey(instance, dataKey.id, 1);
    try {
      await putSame(store, key, () => bytesOf(encodeWrappedDataKey(wrapped)));
    } catch (cause) {
      wipeDataKey(dataKey);
      throw cause;
    }
    this.#dataKey = dataKey;
    return dataKey;
  }
}
