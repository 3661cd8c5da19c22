import { describeParked, openBus, type ParkedMessage } from '@tidemark/bus';
import { UsageError, type Clock } from '@tidemark/core';
import { eventsAccess, type Config } from '@tidemark/workspace';
import type { Logger } from '@tidemark/archiver';

const PARKED_MAX = 1_000;

/**
 * Messages that could not be taken, the oldest first; at most the last 1,000 of them.
 * @throws UsageError `TM_CONFIG` without `[events]`; BusError.
 */
export async function listParked(
  { events }: Config,
  { clock, logger, signal }: { clock: Clock; logger: Logger; signal: AbortSignal },
): Promise<readonly ParkedMessage[]> {
  if (events === null) {
    throw new UsageError('TM_CONFIG', 'no Kafka is configured', {
      hint: 'name its brokers in [events], see docs/kafka.md',
    });
  }
  const ports = { clock, logger, clientId: 'tidemark-command' };
  await using bus = await openBus(await eventsAccess(events), ports);
  const found: ParkedMessage[] = [];
  await bus.read({
    topics: ['parked'],
    onMessage: (message) => {
      found.push(describeParked(message));
      if (found.length > PARKED_MAX) found.shift();
    },
    signal,
  });
  return found;
}
