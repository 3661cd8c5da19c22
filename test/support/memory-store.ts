import { StoreError, type ByteSource } from '@tidemark/core';
import {
  assertObjectKey,
  type GetOptions,
  type ListOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  type PutOutcome,
} from '@tidemark/store';

/** One call on a store, as a fault hook sees it. */
export interface StoreCall {
  readonly op: 'put' | 'get' | 'head' | 'list' | 'delete';
  /** The key, or the prefix of a list. */
  readonly key: string;
  /** Counts the calls of one handle, from 0. */
  readonly index: number;
}

/**
 * What goes wrong with a call. Both steps may wait (a delay, or for ever: a killed process) and may
 * throw.
 */
export interface StoreFault {
  /** Runs before the call takes effect; a throw means that nothing happened. */
  readonly before?: () => void | Promise<void>;
  /** Runs after the call took effect; a throw makes the outcome ambiguous. */
  readonly after?: () => void | Promise<void>;
  /**
   * Only for puts: the call fails at once with `TM_STORE_IO`, and the object is created when this
   * settles, as when a request outlives its client.
   */
  readonly appliesLater?: () => Promise<void>;
}

/** Decides about a call; nothing goes wrong where it gives nothing. */
export type FaultHook = (call: StoreCall) => StoreFault | undefined;

/** The error of a store that failed in passing. */
export function storeDown(key: string): StoreError {
  return new StoreError('TM_STORE_IO', 'the simulated store failed', { context: { key } });
}

/** Nothing happens, and the caller is told so. */
export function failsBefore(key: string): StoreFault {
  return {
    before: () => {
      throw storeDown(key);
    },
  };
}

/** The call takes effect, and the caller is told that it failed. */
export function failsAfter(key: string): StoreFault {
  return {
    after: () => {
      throw storeDown(key);
    },
  };
}

const LIST_BATCH = 1000;

interface Shared {
  readonly objects: Map<string, Buffer>;
  /** Keys in byte order, made when a list asks for it. */
  sorted: readonly string[] | null;
}

/**
 * An object store in memory that keeps the laws of the port: objects appear whole, a key is taken
 * once, reads see every finished put. Several handles (`through`) share the objects and have their
 * own faults, as processes share a bucket.
 */
export class MemoryStore implements ObjectStore {
  readonly url = 'memory://test';
  /** Every call of this handle, in order. */
  readonly calls: StoreCall[] = [];
  readonly #shared: Shared;
  readonly #hook: FaultHook | undefined;
  readonly #chunkBytes: number;

  constructor(
    options: { hook?: FaultHook | undefined; chunkBytes?: number; shared?: Shared } = {},
  ) {
    this.#shared = options.shared ?? { objects: new Map(), sorted: null };
    this.#hook = options.hook;
    this.#chunkBytes = options.chunkBytes ?? 64 * 1024;
  }

  /** Another handle on the same objects. */
  through(hook?: FaultHook): MemoryStore {
    return new MemoryStore({ hook, chunkBytes: this.#chunkBytes, shared: this.#shared });
  }

  /** The objects, for a test that looks. */
  get objects(): ReadonlyMap<string, Buffer> {
    return this.#shared.objects;
  }

  /** Every key, in byte order. */
  keys(prefix = ''): string[] {
    this.#shared.sorted ??= [...this.#shared.objects.keys()].sort();
    return this.#shared.sorted.filter((key) => key.startsWith(prefix));
  }

  /** Puts bytes where the rules of the port would not allow it: damage, or an older copy. */
  tamper(key: string, bytes: Uint8Array | null): void {
    if (bytes === null) this.#shared.objects.delete(key);
    else this.#shared.objects.set(key, Buffer.from(bytes));
    this.#shared.sorted = null;
  }

  /** A copy of all objects as they are now. */
  snapshot(): MemoryStore {
    const objects = new Map(this.#shared.objects);
    return new MemoryStore({ chunkBytes: this.#chunkBytes, shared: { objects, sorted: null } });
  }

  async putIfAbsent(key: string, body: ByteSource, options: PutOptions = {}): Promise<PutOutcome> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    const fault = this.#faultOf('put', key);
    await fault.before?.();
    const bytes = await gather(body, options.signal);
    if (fault.appliesLater !== undefined) {
      void fault.appliesLater().then(() => this.#create(key, bytes));
      throw storeDown(key);
    }
    const outcome = this.#create(key, bytes);
    await fault.after?.();
    return outcome;
  }

  async *get(key: string, options: GetOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    const fault = this.#faultOf('get', key);
    await fault.before?.();
    const bytes = this.#shared.objects.get(key);
    if (bytes === undefined) {
      throw new StoreError('TM_STORE_MISSING', 'an object does not exist', { context: { key } });
    }
    const { start = 0, end = bytes.length } = options;
    if (start < 0 || end > bytes.length || start > end) {
      throw new StoreError('TM_STORE_RANGE', 'an object is shorter than the range', {
        context: { key, start, end, size: bytes.length },
      });
    }
    for (let at = start; at < end; at += this.#chunkBytes) {
      options.signal?.throwIfAborted();
      yield Buffer.from(bytes.subarray(at, Math.min(end, at + this.#chunkBytes)));
    }
    await fault.after?.();
  }

  async head(key: string): Promise<ObjectInfo | null> {
    assertObjectKey(key);
    const fault = this.#faultOf('head', key);
    await fault.before?.();
    const bytes = this.#shared.objects.get(key);
    await fault.after?.();
    return bytes === undefined ? null : { key, size: bytes.length };
  }

  async *list(
    prefix: string,
    options: ListOptions = {},
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    if (prefix !== '') assertObjectKey(prefix.endsWith('/') ? `${prefix}x` : prefix);
    options.signal?.throwIfAborted();
    const fault = this.#faultOf('list', prefix);
    await fault.before?.();
    const after = options.after ?? '';
    const keys = this.keys(prefix).filter((key) => key > after);
    const { first = LIST_BATCH } = options;
    let batch: readonly string[];
    for (let at = 0; at < keys.length; at += batch.length) {
      options.signal?.throwIfAborted();
      batch = keys.slice(at, at + (at === 0 ? first : LIST_BATCH));
      yield batch.flatMap((key) => {
        const size = this.#shared.objects.get(key)?.length;
        return size === undefined ? [] : [{ key, size }];
      });
    }
    await fault.after?.();
  }

  async delete(key: string): Promise<void> {
    assertObjectKey(key);
    const fault = this.#faultOf('delete', key);
    await fault.before?.();
    this.tamper(key, null);
    await fault.after?.();
  }

  #create(key: string, bytes: Buffer): PutOutcome {
    if (this.#shared.objects.has(key)) return 'exists';
    this.#shared.objects.set(key, bytes);
    this.#shared.sorted = null;
    return 'created';
  }

  #faultOf(op: StoreCall['op'], key: string): StoreFault {
    const call = { op, key, index: this.calls.length };
    this.calls.push(call);
    return this.#hook?.(call) ?? {};
  }
}

/** Reads a body to its end; an abort is heard also while the body is silent. */
async function gather(body: ByteSource, signal: AbortSignal | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const iterator = body[Symbol.asyncIterator]();
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
  aborted.catch(() => undefined);
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done === true) return Buffer.concat(parts);
      parts.push(next.value);
    }
  } catch (error) {
    iterator.return?.().catch(() => undefined);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
