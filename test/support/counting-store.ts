import type { ByteSource } from '@tidemark/core';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '@tidemark/store';

/** Requests of a store, by kind. */
export interface RequestCounts {
  get: number;
  head: number;
  list: number;
  put: number;
}

/** A store that counts what is read of each object. */
export class CountingStore implements ObjectStore {
  /** Bytes that were given, by key. */
  readonly read = new Map<string, number>();
  /** Calls since the beginning or the last `reset`; a listing counts once for each batch. */
  readonly requests: RequestCounts = { get: 0, head: 0, list: 0, put: 0 };
  readonly #inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  get url(): string {
    return this.#inner.url;
  }

  /** Everything that reads: GETs, HEADs and LISTs. */
  get reads(): number {
    const { get, head, list } = this.requests;
    return get + head + list;
  }

  /** Forgets what was counted. */
  reset(): void {
    this.read.clear();
    Object.assign(this.requests, { get: 0, head: 0, list: 0, put: 0 });
  }

  /** Bytes that were read of objects with this in their key. */
  bytesOf(part: string): number {
    let bytes = 0;
    for (const [key, count] of this.read) if (key.includes(part)) bytes += count;
    return bytes;
  }

  async *get(key: string, options?: GetOptions): AsyncGenerator<Uint8Array, void, undefined> {
    this.requests.get += 1;
    for await (const part of this.#inner.get(key, options)) {
      this.read.set(key, (this.read.get(key) ?? 0) + part.length);
      yield part;
    }
  }

  putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome> {
    this.requests.put += 1;
    return this.#inner.putIfAbsent(key, body, options);
  }

  head(key: string): Promise<ObjectInfo | null> {
    this.requests.head += 1;
    return this.#inner.head(key);
  }

  async *list(
    prefix: string,
    options?: ListOptions,
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    this.requests.list += 1;
    let batches = 0;
    for await (const batch of this.#inner.list(prefix, options)) {
      if (batches++ > 0) this.requests.list += 1;
      yield batch;
    }
  }

  delete(key: string): Promise<void> {
    return this.#inner.delete(key);
  }
}
