import {
  openOperationsServer,
  stderrLogger,
  type Logger,
  type OperationsServer,
} from '@tidemark/archiver';
import { refuseUnverified } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { openControl } from './control.ts';
import type { ControlMetrics } from './metrics/control-metrics.ts';

/**
 * Works off the jobs of this host in the foreground until the signal is aborted. What is under way then
 * is interrupted and waits for the next worker.
 * @throws As `openControl`.
 */
export async function serveWorker(configPath: string, signal: AbortSignal): Promise<void> {
  refuseUnverified(process.env);
  const ports = {
    clock: systemClock,
    random: systemRandom,
    logger: stderrLogger({ service: 'restorer' }),
  };
  await using control = await openControl({ configPath, ...ports });
  const { metrics, workspace } = control;
  await metrics.begin();
  await using _shown = await showMetrics(metrics, workspace.config.worker.metricsListen, ports);
  await control.run(signal, { workers: true, scheduler: false });
}

/** Shows metrics and health where `[restorer] metrics_listen` says. */
async function showMetrics(
  metrics: ControlMetrics,
  listen: { readonly host: string; readonly port: number } | null,
  { logger }: { readonly logger: Logger },
): Promise<OperationsServer | null> {
  if (listen === null) return null;
  const server = await openOperationsServer(listen, {
    exposition: () => metrics.exposition(),
    readiness: () => metrics.readiness(),
  });
  logger.info('metrics', { host: server.host, port: server.port });
  return server;
}
