import { openBus, type Bus, type BusSettings } from '@tidemark/bus';
import { systemClock } from '@tidemark/system';
import { CollectingLogger } from './collecting-logger.ts';

/** A bus to a broker of the tests. */
export async function openTestBus(
  broker: string,
  over: Partial<BusSettings> = {},
): Promise<{ readonly bus: Bus; readonly logger: CollectingLogger } & AsyncDisposable> {
  const logger = new CollectingLogger();
  const settings: BusSettings = {
    brokers: [broker],
    topicPrefix: 'tidemark.',
    tls: null,
    sasl: null,
    ...over,
  };
  const bus = await openBus(settings, { clock: systemClock, logger, clientId: 'test' });
  return { bus, logger, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}
