import type { ByteSource } from '@tidemark/core';

/** What a store knows of an object without reading it. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** `exists`: the key was taken before; what lies there is not touched and may be other bytes. */
export type PutOutcome = 'created' | 'exists';

/** Options of a put. */
export interface PutOptions {
  /** Aborting leaves nothing visible; the put rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Path of a local file (0600) that holds exactly the bytes of the body and that nobody changes any
   * more; its name may go. A store on the same file system takes the file itself and leaves the body
   * unread.
   */
  readonly file?: string;
}

/** Options of a get. */
export interface GetOptions {
  /** First byte; default 0. */
  readonly start?: number;
  /** End, exclusive; default the size of the object. */
  readonly end?: number;
  readonly signal?: AbortSignal;
}

/** Options of a listing. */
export interface ListOptions {
  /** Only keys greater than this one, byte-wise. */
  readonly after?: string;
  /** How many keys the first batch is to hold at most: one for who asks for the first key alone. */
  readonly first?: number;
  readonly signal?: AbortSignal;
}

/** What a store was found to do, by trying it. `null`: it could not be asked. */
export interface StoreCapabilities {
  /** Of any number of puts to one key exactly one wins. Without it two archivers could both. */
  readonly conditionalCreate: boolean;
  /**
   * The same for objects in parts: `holds`; `sequential`, but of several at once more than one was
   * told that it won; `none`; `unused` where the store makes no parts.
   */
  readonly multipartConditional: 'holds' | 'sequential' | 'none' | 'unused';
  readonly ranges: boolean;
  /** Keys are listed in byte order, from any key on. */
  readonly listingOrdered: boolean;
  /** Objects can be locked against deletion. */
  readonly objectLock: boolean | null;
  readonly versioning: boolean | null;
  /** Settings of the store that would lose or hide data, a sentence each. */
  readonly warnings: readonly string[];
}

/**
 * A place for immutable objects. Every adapter holds to these laws, and
 * `test/conformance/object-store-suite.ts` checks them:
 *
 * - An object appears whole or not at all, and it is durable when `putIfAbsent` resolves.
 * - Of any number of puts to one key exactly one creates it, across processes and hosts.
 * - After a put has resolved, every `get`, `head` and `list` sees the object.
 * - A failed put may be repeated. After `TM_STORE_IO` the object may or may not be there.
 * - Keys obey `assertObjectKey`; a key may be the beginning of another one.
 */
export interface ObjectStore {
  /** Address for messages; carries no secret. */
  readonly url: string;

  /**
   * Stores an object under a key that is not taken.
   *
   * The length need not be known. The body is read at most once, and not at all where the key is
   * seen to be taken or `file` serves. A body that throws leaves nothing visible, and its error is passed on as it is.
   * @throws StoreError `TM_STORE_KEY`, `TM_STORE_FULL`, `TM_STORE_IO`; the signal's reason.
   */
  putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome>;

  /**
   * Reads an object or a range of it, in chunks of at most 1 MiB. Nothing happens, and nothing is
   * thrown, before the first pull.
   * @throws StoreError `TM_STORE_MISSING`, `TM_STORE_RANGE` (a range beyond the end of the object),
   *   `TM_STORE_KEY`, `TM_STORE_IO`; the signal's reason.
   */
  get(key: string, options?: GetOptions): ByteSource;

  /**
   * @returns `null` when there is no such object.
   * @throws StoreError `TM_STORE_KEY`, `TM_STORE_IO`.
   */
  head(key: string): Promise<ObjectInfo | null>;

  /**
   * Lists the objects whose keys begin with `prefix` (any beginning, also within a component), in
   * byte-wise order of their keys, in batches of 1 to 1,000.
   *
   * Objects that come or go while it runs may be listed or not; all others are listed once.
   * @throws StoreError `TM_STORE_KEY`, `TM_STORE_IO`; the signal's reason.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<readonly ObjectInfo[]>;

  /**
   * Removes an object; that there is none is no error.
   * @throws StoreError `TM_STORE_KEY`, `TM_STORE_IO`.
   */
  delete(key: string): Promise<void>;
}
