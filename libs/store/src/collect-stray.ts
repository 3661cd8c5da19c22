import type { ObjectStore } from './object-store.ts';

/** Removes what was begun before a time, and how many that were. */
export type CollectStray = (beforeMs: number, signal?: AbortSignal) => Promise<number>;

/**
 * Removes what uploads that were never completed have left behind. An adapter that leaves something
 * offers it as its property `collectStray`.
 * @param options - `beforeMs`: only those begun before this time, milliseconds since the epoch.
 * @returns How many; 0 for a store that leaves nothing behind.
 * @throws StoreError as the store's own calls.
 */
export async function collectStray(
  store: ObjectStore & { readonly collectStray?: CollectStray },
  options: { readonly beforeMs: number; readonly signal?: AbortSignal },
): Promise<number> {
  return (await store.collectStray?.(options.beforeMs, options.signal)) ?? 0;
}
