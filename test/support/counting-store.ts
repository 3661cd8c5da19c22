import type { ByteSource } from '@tidemark/core';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '@tidemark/store';

/** A store that counts what is read of each object. */
export class CountingStore implements ObjectStore {
  /** Bytes that were given, by key. */
  readonly read = new Map<string, number>();
  readonly #inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  get url(): string {
    return this.#inner.url;
  }

  /** Bytes that were read of objects with this in their key. */
  bytesOf(part: string): number {
    let bytes = 0;
    for (const [key, count] of this.read) if (key.includes(part)) bytes += count;
    return bytes;
  }

  async *get(key: string, options?: GetOptions): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const part of this.#inner.get(key, options)) {
      this.read.set(key, (this.read.get(key) ?? 0) + part.length);
      yield part;
    }
  }

  putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome> {
    return this.#inner.putIfAbsent(key, body, options);
  }

  head(key: string): Promise<ObjectInfo | null> {
    return this.#inner.head(key);
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<readonly ObjectInfo[]> {
    return this.#inner.list(prefix, options);
  }

  delete(key: string): Promise<void> {
    return this.#inner.delete(key);
  }
}
