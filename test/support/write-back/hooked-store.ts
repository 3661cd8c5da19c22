import type { ByteSource } from '@tidemark/core';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '@tidemark/store';

/** What happens at the parts of undo packs, counted from 0 over all puts. */
export interface UndoPutHooks {
  readonly before?: (part: number) => Promise<unknown>;
  readonly after?: (part: number) => Promise<unknown>;
}

/** A store that lets a test act at the moment when a part of an undo pack is stored. */
export class HookedStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #hooks: UndoPutHooks;
  #parts = 0;

  constructor(inner: ObjectStore, hooks: UndoPutHooks) {
    this.url = inner.url;
    this.#inner = inner;
    this.#hooks = hooks;
  }

  async putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome> {
    if (!key.startsWith('v1/undo/')) return this.#inner.putIfAbsent(key, body, options);
    const part = this.#parts++;
    await this.#hooks.before?.(part);
    const outcome = await this.#inner.putIfAbsent(key, body, options);
    await this.#hooks.after?.(part);
    return outcome;
  }

  get(key: string, options?: GetOptions): ByteSource {
    return this.#inner.get(key, options);
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
