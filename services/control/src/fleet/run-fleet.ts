import { setMaxListeners } from 'node:events';
import { basename } from 'node:path';
import type { Bus } from '@tidemark/bus';
import { listInstanceIds } from '@tidemark/catalog';
import { eventsAccess, type Config } from '@tidemark/workspace';
import { hostName } from '../jobs/host-name.ts';
import { isOver, pause, type FleetParts, type LinkedParts } from './fleet-parts.ts';
import { HostExchange } from './host-exchange.ts';
import { publishEvents, whyOf } from './publish-events.ts';
import { WorkerExchange } from './worker-exchange.ts';

/** Between two tries to reach Kafka. */
const PAUSE_MS = 2_000;
const LISTENERS_MAX = 64;

/**
 * What a process of the control plane does over Kafka, until the signal: hosts with an API publish the
 * events of the logs and hand jobs out when they have no workers; hosts with workers take jobs in.
 * While Kafka is away everything else goes on.
 */
export async function runFleet(
  parts: FleetParts,
  roles: { readonly workers: boolean; readonly scheduler: boolean },
  ended: AbortSignal,
): Promise<void> {
  // Each reader and each line of notes waits for it; as many are no leak.
  const signal = AbortSignal.any([ended]);
  setMaxListeners(LISTENERS_MAX, signal);
  const { events } = parts.workspace.config;
  if (events === null) return;
  await using bus = await patiently(parts, () => openFleetBus(parts, events), signal);
  if (bus === null) return;
  await patiently(parts, () => bus.ensureTopics(), signal);
  if (isOver(signal)) return;
  const host = await hostName(parts.workspace.config.stateDir, parts.random);
  const linked: LinkedParts = { ...parts, bus, host };
  await fillCatalog(linked, signal);
  await Promise.all([
    roles.scheduler ? publishEvents(linked, signal) : undefined,
    new HostExchange(linked).run(!roles.workers, signal),
    roles.workers ? new WorkerExchange(linked).run(signal) : undefined,
  ]);
}

/** A bus to the brokers of `[events]`. @throws UsageError `TM_CONFIG` for a file that cannot be read. */
export async function openFleetBus(
  { workspace, clock, logger }: Pick<FleetParts, 'workspace' | 'clock' | 'logger'>,
  events: NonNullable<Config['events']>,
): Promise<Bus> {
  const { openBus } = await import('@tidemark/bus');
  const clientId = `tidemark-${basename(workspace.config.stateDir)}`;
  return openBus(await eventsAccess(events), { clock, logger, clientId });
}

/** A host that knows nothing yet reads the topic: that is one stream instead of a read per entry. */
async function fillCatalog(
  { workspace, bus, logger }: LinkedParts,
  signal: AbortSignal,
): Promise<void> {
  const { catalog, store, keys } = workspace;
  if (catalog.instances().length > 0) return;
  try {
    const { catalogFromTopic } = await import('@tidemark/bus');
    const instances = await listInstanceIds(store, signal);
    const logKey = keys.logKey.bind(keys);
    const parts = { bus, catalog, store, instances, logKey, logger, signal };
    const report = await catalogFromTopic(parts);
    logger.info('catalog-from-topic', { ...report });
  } catch (cause) {
    // The store says the same, and is asked whenever somebody wants to know.
    if (!isOver(signal)) logger.warn('catalog-not-from-topic', whyOf(cause));
  }
}

/** @returns Null when the signal came first. */
async function patiently<T>(
  { clock, logger }: FleetParts,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T | null> {
  for (let told = ''; !isOver(signal);) {
    try {
      return await work();
    } catch (cause) {
      const why = whyOf(cause);
      if (told !== why.code) logger.warn('kafka-away', why);
      told = why.code;
    }
    await pause(clock, PAUSE_MS, signal);
  }
  return null;
}
