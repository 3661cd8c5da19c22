import { GONE_FAMILIES, goneSamples, HostWatch, type Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { ControlMetrics } from '../metrics/control-metrics.ts';

/** Between two looks: each is a request for each instance, all day, and a fleet looks more often itself. */
const LOOK_MS = 60_000;

/** What the watch over other hosts works with. */
export interface WatchHostsParts {
  readonly workspace: Pick<Workspace, 'store' | 'keys' | 'config'>;
  readonly metrics: Pick<ControlMetrics, 'collect'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Says, by log and metrics, when the host of an instance shows no life and no other one goes on, until the
 * signal is aborted: also the one of this host, whose archiver may have ended.
 */
export async function watchHosts(parts: WatchHostsParts, signal: AbortSignal): Promise<void> {
  const { workspace, metrics, clock, random, logger } = parts;
  const { store, keys, config } = workspace;
  const { heartbeatMs } = config.limits;
  const ports = { store, keys, clock, random, logger };
  const watch = new HostWatch({ ...ports, heartbeatMs, isHere: () => false, lookMs: LOOK_MS });
  metrics.collect(GONE_FAMILIES, () => goneSamples(watch.gone));
  await watch.run(signal);
}
