import {
  createInstance,
  openWriterLog,
  type Catalog,
  type WriterLog,
  type WriterLogId,
} from '@tidemark/catalog';
import type { ObjectStore } from '@tidemark/store';
import { seededRandom, standingClock } from './crypto-ports.ts';
import { LOG, LOG_KEY, START_MS } from './log-events.ts';

/** Puts an instance with one AOF writer on record, and gives its claimed writer log. */
export async function openTestInstance(
  store: ObjectStore,
  log: WriterLogId = LOG,
): Promise<WriterLog> {
  const ports = {
    store,
    logKey: LOG_KEY,
    clock: standingClock(START_MS),
    random: seededRandom(`instance ${log.iid}`),
  };
  const instance = await createInstance({
    ...ports,
    iid: log.iid,
    name: `name of ${log.iid}`,
    createdMs: START_MS,
  });
  const { shard, writer } = log;
  await instance.append((state) =>
    state.writers.some((each) => each.writer === writer)
      ? null
      : { type: 'WriterRegistered', shard, writer, source: 'aof', atMs: START_MS },
  );
  const writerLog = await openWriterLog({ ...ports, ...log });
  await writerLog.claim({ ownerId: 'spool-a', takeOver: false });
  return writerLog;
}

/** Brings a catalog up to date with the instances of the tests. */
export async function syncTest(
  catalog: Catalog,
  store: ObjectStore,
  instances: readonly string[] = [LOG.iid],
): Promise<number> {
  const { entries } = await catalog.sync({
    store,
    instances,
    logKey: () => Promise.resolve(LOG_KEY),
  });
  return entries;
}

/** Everything that a catalog says about an instance. */
export function dumpCatalog(catalog: Catalog, iid: string = LOG.iid): unknown {
  const timelines = catalog.timelines(iid);
  return {
    instance: catalog.instance(iid),
    writers: catalog.writers(iid),
    timelines,
    snapshots: catalog.snapshots(iid),
    segments: timelines.map(({ timeline }) => catalog.segments(timeline)),
    facts: catalog
      .writers(iid)
      .map(({ shard, writer }) => catalog.nodeFacts({ iid, shard, writer })),
  };
}
