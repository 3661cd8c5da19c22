import type { ObjectStore } from './object-store.ts';

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
  /** Every version and mark whose key begins with `prefix`, in batches of at most 1,000. */
  list(
    prefix: string,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<readonly ObjectVersion[]>;
  /** @returns null when nothing holds it. */
  lockOf(version: ObjectVersion): Promise<VersionLock | null>;
  /** Removes the version for good. That it is gone is no error. */
  remove(version: ObjectVersion): Promise<void>;
}

/** The versions of a store's objects; null for a store in which deleted is deleted. */
export function versionsOf(
  store: ObjectStore & { readonly versions?: VersionAccess },
): VersionAccess | null {
  return store.versions ?? null;
}

/**
 * Removes an object with every version of it that the store keeps. In a store without versions
 * this is `delete`.
 * @returns How many objects, versions and marks were removed.
 * @throws StoreError as `delete`.
 */
export async function eraseObject(store: ObjectStore, key: string): Promise<number> {
  const versions = versionsOf(store);
  if (versions === null) {
    const there = (await store.head(key)) !== null;
    await store.delete(key);
    return there ? 1 : 0;
  }
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
