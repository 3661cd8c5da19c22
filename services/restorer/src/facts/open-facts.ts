import { NODE_FACTS_PLACE, unpackFacts, type NodeFactsRecord } from '@tidemark/archive';
import type { Catalog } from '@tidemark/catalog';
import { collectBytes, IntegrityError, nameObject, UsageError } from '@tidemark/core';
import { wipeDataKey, type KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';

/** No log entry is longer, and facts are the body of one. */
const PACKED_BYTES_MAX = 1024 * 1024;

/** What facts are opened with. */
export interface FactsSource {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  /** Up to date: the caller has synced it. */
  readonly catalog: Catalog;
  readonly signal: AbortSignal;
}

/** Facts of a node, and when they were taken. */
export interface OpenedFacts {
  readonly facts: NodeFactsRecord;
  readonly takenMs: number;
}

/**
 * Opens the node facts in force at an instant: the newest taken by then, else the first ones.
 * @param atMs - Unix milliseconds; null = now.
 * @throws UsageError `TM_NOT_FOUND` when none are stored; IntegrityError, FormatError, StoreError or
 *   KeyError for damage and wrong keys.
 */
export async function openFacts(
  instance: string,
  atMs: number | null,
  source: FactsSource,
): Promise<OpenedFacts> {
  const { store, keys, catalog, signal } = source;
  const [place] = catalog.writers(instance);
  const found = place === undefined ? null : catalog.nodeFacts({ iid: instance, ...place }, atMs);
  if (place === undefined || found === null) {
    throw new UsageError('TM_NOT_FOUND', `no node facts of ${instance} are stored`, {
      hint: 'the archiver stores them when it reaches the node: tidemark serve archiver',
    });
  }
  const { object: ref, takenMs } = found;
  const context = { instance, dekId: ref.dekId, purpose: 'segments' } as const;
  const dataKey = await unwrapDataKey(context, store, keys);
  try {
    const reader = new ObjectReader({
      ...{ instance, shard: place.shard, writer: place.writer, store, signal },
      logKey: await keys.logKey(instance),
      keyOf: () => dataKey,
    });
    const object = { ref, ...NODE_FACTS_PLACE };
    const tooLong = (): Error =>
      new IntegrityError('TM_FACTS_FORMAT', 'node facts are too long', {
        context: { object: ref.readKey, bytesMax: PACKED_BYTES_MAX },
      });
    const packed = await collectBytes(reader.opened(object), PACKED_BYTES_MAX, tooLong);
    return { facts: unpackFacts(packed), takenMs };
  } catch (cause) {
    throw nameObject(cause, ref.readKey);
  } finally {
    wipeDataKey(dataKey);
  }
}
