import type { Catalog } from '@tidemark/catalog';
import { IntegrityError, TidemarkError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { Bus, BusLogger } from '../bus.ts';
import { TopicStore, type MissingEntry, type TopicCounts } from './topic-store.ts';

/** What a catalog is built from. */
export interface TopicCatalogParts {
  readonly bus: Pick<Bus, 'read'>;
  readonly catalog: Catalog;
  readonly store: ObjectStore;
  readonly instances: readonly string[];
  readonly logKey: (iid: string) => Promise<LogKey>;
  readonly logger: BusLogger;
  readonly signal: AbortSignal;
}

/** Where the entries of a catalog came from. */
export interface TopicCatalogReport extends TopicCounts {
  readonly entries: number;
  /** Of those, how many the topic gave. */
  readonly served: number;
}

/**
 * Brings a catalog up to date from the topic of events; the store gives what the topic lacks. Both ways
 * verify the same, and give the same.
 * @throws IntegrityError `TM_LOG_GAP` when the topic has newer entries than the store; BusError; as
 *   `Catalog.sync`.
 */
export async function catalogFromTopic(parts: TopicCatalogParts): Promise<TopicCatalogReport> {
  const { bus, catalog, store, instances, logKey, logger, signal } = parts;
  const topic = new TopicStore(store, logKey, instances);
  await bus.read({
    topics: ['events'],
    signal,
    onMessage: (message) => topic.take(message),
  });
  const missing = await unexplained(await topic.missing(), parts);
  const [first] = missing;
  if (first !== undefined) {
    throw new IntegrityError('TM_LOG_GAP', `Kafka has entries that the store lacks: ${first.key}`, {
      context: { object: first.key, logs: missing.length },
      hint: 'the store was set back or has lost objects; restore them from a copy of it',
    });
  }
  const sync = async (source: ObjectStore): Promise<number> =>
    (await catalog.sync({ store: source, instances, logKey, signal })).entries;
  try {
    return { entries: await sync(topic), served: topic.served, ...topic.counts };
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.exitCode !== 14) throw error;
    // Of another history of the same logs: the store is the truth.
    logger.warn('the entries of the topic do not fit the store', { code: error.code });
    return { entries: await sync(store), served: 0, ...topic.counts };
  }
}

/** Those of instances that were not erased: what an erased one had written is gone for good, as it was meant. */
async function unexplained(
  missing: readonly MissingEntry[],
  { catalog, store, logKey, signal }: TopicCatalogParts,
): Promise<readonly MissingEntry[]> {
  const iids = missing.flatMap(({ log }) => (log.writer === null ? [] : [log.iid]));
  const instances = [...new Set(iids)];
  if (instances.length > 0) await catalog.sync({ store, instances, logKey, signal });
  const erased = new Set(
    instances.filter((iid) => catalog.instance(iid).recycle?.erasedMs != null),
  );
  return missing.filter(({ log }) => log.writer === null || !erased.has(log.iid));
}
