import { StoreError } from '@tidemark/core';
import type { ObjectStore } from './object-store.ts';

/** Times that an object is removed; somebody may put it again meanwhile. */
const PASSES_MAX = 3;

/** One version of an object in a store that keeps older ones, or the mark of a deletion. */
export interface ObjectVersion {
  readonly key: string;
  readonly versionId: string;
  /** The mark that a deletion leaves; it holds no bytes. */
  readonly isMarker: boolean;
}

/** What keeps a version from being deleted. */
export interface VersionLock {
  /** Until when, Unix milliseconds; null = no such time. */
  readonly untilMs: number | null;
  readonly legalHold: boolean;
}

/**
 * Versions of objects, for a store that may keep them when an object is deleted. An adapter offers
 * it as its property `versions`.
 */
export interface VersionAccess {
  /**
   * Every version and mark whose key begins with `prefix`, in batches of at most 1,000. A server that
   * does not know versions names none, whatever objects it holds: `ObjectStore.list` is asked too.
   */
  list(
    prefix: string,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<readonly ObjectVersion[]>;
  /** @returns null when nothing holds it. */
  lockOf(version: ObjectVersion): Promise<VersionLock | null>;
  /** Removes the version for good. That it is gone is no error. */
  remove(version: ObjectVersion): Promise<void>;
}

/**
 * The versions of a store's objects; null for a store in which deleted is deleted. Whether a server
 * behind it really knows versions is seen by what it lists.
 */
export function versionsOf(
  store: ObjectStore & { readonly versions?: VersionAccess },
): VersionAccess | null {
  return store.versions ?? null;
}

/**
 * Every version and mark below a prefix, in batches of at most 1,000, and then each object of which
 * no version was named, with the id `null`: a store without versions, or a server that does not
 * know them, has one of each. Memory grows with the number of keys.
 * @throws StoreError as `ObjectStore.list`; the signal's reason.
 */
export async function* listVersions(
  store: ObjectStore,
  prefix: string,
  options: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<readonly ObjectVersion[], void, undefined> {
  const named = new Set<string>();
  for await (const batch of versionsOf(store)?.list(prefix, options) ?? []) {
    for (const { key } of batch) named.add(key);
    yield batch;
  }
  for await (const batch of store.list(prefix, options)) {
    const plain = batch
      .filter(({ key }) => !named.has(key))
      .map(({ key }) => ({ key, versionId: 'null', isMarker: false }));
    if (plain.length > 0) yield plain;
  }
}

/**
 * Removes an object with every version of it that the store keeps, and looks whether it is gone. In
 * a store without versions, and with a server that names none, this is `delete`.
 * @returns How many objects, versions and marks were removed.
 * @throws StoreError `TM_STORE_REFUSED` when the store says that it was removed and still has it; as
 *   `delete`.
 */
export async function eraseObject(store: ObjectStore, key: string): Promise<number> {
  const versions = versionsOf(store);
  let removed = 0;
  for (let pass = 1; pass <= PASSES_MAX; pass++) {
    const found = versions === null ? 0 : await eraseVersions(versions, key);
    removed += found;
    if ((await store.head(key)) === null) return removed;
    // A server may answer a question for versions with an ordinary listing, which names none.
    if (found > 0) continue;
    await store.delete(key);
    removed += 1;
  }
  if ((await store.head(key)) === null) return removed;
  throw new StoreError('TM_STORE_REFUSED', 'the store keeps an object that was removed', {
    context: { key, attempts: PASSES_MAX },
    hint: 'it says that it removed the object and still gives it out: see docs/s3.md',
  });
}

async function eraseVersions(versions: VersionAccess, key: string): Promise<number> {
  let removed = 0;
  for await (const batch of versions.list(key)) {
    for (const version of batch) {
      if (version.key !== key) continue;
      await versions.remove(version);
      removed += 1;
    }
  }
  return removed;
}
