import type { ObjectStore } from './object-store.ts';

/** Asks a store for its own time, Unix milliseconds; null when it does not tell. */
export type TellTime = (signal?: AbortSignal) => Promise<number | null>;

/** How far the clocks of a host and of its store may be apart before one of them is wrong. */
const APART_MS_MAX = 600_000;

/**
 * The time by the clock of a store that is another machine. An adapter that can ask for it offers it as its
 * property `tellTime`.
 * @returns Unix milliseconds, to the second; null for a store without a clock of its own: a folder.
 * @throws StoreError as `ObjectStore.list`; the signal's reason.
 */
export async function storeTime(
  store: ObjectStore & { readonly tellTime?: TellTime },
  signal?: AbortSignal,
): Promise<number | null> {
  return (await store.tellTime?.(signal)) ?? null;
}

/** Whether the clocks of a host and of its store cannot both be right. */
export function areApart(hostMs: number, storeMs: number): boolean {
  return Math.abs(hostMs - storeMs) > APART_MS_MAX;
}
