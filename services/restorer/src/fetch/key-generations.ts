import { parseObjectKey, wrappedKeyKey, wrappedKeyPrefix } from '@tidemark/archive';
import { readInstanceState } from '@tidemark/catalog';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';

/** A wrapped data key as it lies in the store. */
export interface KeyGeneration {
  readonly dekId: string;
  /** 1 as the archiver wrote it; each rewrapping adds one. */
  readonly generation: bigint;
  readonly path: string;
}

/** The generations of one wrapped data key, newest first. One LIST. */
export async function generationsOf(
  instance: string,
  dekId: string,
  store: ObjectStore,
): Promise<readonly KeyGeneration[]> {
  const found: KeyGeneration[] = [];
  // One that is not an id gives no prefix: this refuses it.
  const sample = wrappedKeyKey(instance, dekId, 1);
  const prefix = sample.slice(0, sample.lastIndexOf('/') + 1);
  for await (const batch of store.list(prefix)) {
    for (const { key } of batch) note(found, key);
  }
  return found.reverse();
}

/** The generations of each data key of an instance, newest first, by the id of the key. */
export type KnownGenerations = ReadonlyMap<string, readonly KeyGeneration[]>;

/** Those of every key: one LIST per 1,000 keys, where `generationsOf` takes one for each key. */
export async function allGenerations(
  instance: string,
  store: ObjectStore,
  signal: AbortSignal = new AbortController().signal,
): Promise<KnownGenerations> {
  const known = new Map<string, readonly KeyGeneration[]>();
  for await (const generations of dataKeysOf(instance, store, signal)) {
    const [first] = generations;
    if (first !== undefined) known.set(first.dekId, generations);
  }
  return known;
}

/**
 * Every wrapped data key of an instance, each with its generations, newest first. One LIST per
 * 1,000 of them; memory grows with the number of data keys of one listing at a time.
 */
export async function* dataKeysOf(
  instance: string,
  store: ObjectStore,
  signal: AbortSignal,
): AsyncGenerator<readonly KeyGeneration[], void, undefined> {
  let group: KeyGeneration[] = [];
  for await (const batch of store.list(wrappedKeyPrefix(instance), { signal })) {
    for (const { key } of batch) {
      const before = group.length;
      note(group, key);
      const [first] = group;
      const last = group.at(-1);
      if (group.length === before || first === undefined || last === undefined) continue;
      if (first.dekId === last.dekId) continue;
      group.pop();
      yield group.reverse();
      group = [last];
    }
  }
  if (group.length > 0) yield group.reverse();
}

function note(found: KeyGeneration[], path: string): void {
  const parts = parseObjectKey(path);
  if (parts?.kind !== 'wrapped-key') return;
  found.push({ dekId: parts.dekId, generation: parts.generation, path });
}

/**
 * Whether the log of an instance says that a data key was destroyed on purpose. It asks the store,
 * not the catalog: the log is the truth.
 */
export async function isShredded(
  instance: string,
  dekId: string,
  source: { readonly store: ObjectStore; readonly keys: KeyProvider },
): Promise<boolean> {
  const logKey = await source.keys.logKey(instance);
  const log = { store: source.store, iid: instance, logKey, keyProven: true };
  const { shredded } = await readInstanceState(log);
  return shredded.instanceMs !== null || shredded.dekIds.includes(dekId);
}
