import type { ByteSource } from '@tidemark/core';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '@tidemark/store';
import { storeDown } from './memory-store.ts';

/** A store that a test can take away for a while, or watch. */
export class FaultyStore implements ObjectStore {
  /** Every call fails in passing while it is set. */
  down = false;
  /** Sees each put before it happens; what it throws the put ends in. */
  onPut: (key: string) => void = () => undefined;
  /** Calls that failed because the store was down. */
  refused = 0;
  readonly #inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  get url(): string {
    return this.#inner.url;
  }

  async putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome> {
    this.#check(key);
    this.onPut(key);
    return this.#inner.putIfAbsent(key, body, options);
  }

  async *get(key: string, options?: GetOptions): AsyncGenerator<Uint8Array, void, undefined> {
    this.#check(key);
    yield* this.#inner.get(key, options);
  }

  async head(key: string): Promise<ObjectInfo | null> {
    this.#check(key);
    return this.#inner.head(key);
  }

  async *list(
    prefix: string,
    options?: ListOptions,
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    this.#check(prefix);
    yield* this.#inner.list(prefix, options);
  }

  async delete(key: string): Promise<void> {
    this.#check(key);
    return this.#inner.delete(key);
  }

  #check(key: string): void {
    if (!this.down) return;
    this.refused += 1;
    throw storeDown(key);
  }
}
