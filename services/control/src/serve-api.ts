import { refuseUnverified } from '@tidemark/core';
import { stderrLogger } from '@tidemark/archiver';
import { systemClock, systemRandom } from '@tidemark/system';
import { listenAt } from '@tidemark/workspace';
import type { Api } from './api/app.ts';
import { openControl, type Control } from './control.ts';

/** Settings of an API process. */
export interface ServeApiOptions {
  readonly configPath: string;
  /** `HOST:PORT`; null = as `[server] listen` says. */
  readonly listen: string | null;
  /** Whether jobs are done by this process too. */
  readonly workers: boolean;
}

/**
 * Builds the adapters and serves the API in the foreground until the signal is aborted: then requests that
 * run are answered, and jobs stop where they can go on.
 * @throws UsageError `TM_CONFIG`, `TM_TLS_SETTINGS`, `TM_LISTEN` when the address cannot be listened on.
 */
export async function serveApi(options: ServeApiOptions, signal: AbortSignal): Promise<void> {
  refuseUnverified(process.env);
  const logger = stderrLogger({ service: 'api' });
  const ports = { clock: systemClock, random: systemRandom, logger };
  await using control = await openControl({ configPath: options.configPath, ...ports });
  const settings = listenAt(control.workspace.config.api, options.listen);
  const api = await openApi(control, settings);
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  let running: Promise<void> = Promise.resolve();
  try {
    await control.metrics.begin();
    const address = await api.listen();
    logger.info('listening', { address, auth: settings.auth, workers: options.workers });
    running = control.run(ended, { workers: options.workers, scheduler: true });
    await Promise.race([running, aborted(signal)]);
  } finally {
    over.abort(new Error('the API has ended'));
    // Requests that run may wait for what the control plane does: both end together.
    await Promise.allSettled([api.drain(), running]);
    logger.info('the API has ended');
  }
  await running;
}

/**
 * Makes the server of a control plane that is open, with every route.
 * @throws UsageError `TM_TLS_SETTINGS`.
 */
export async function openApi(
  control: Control,
  settings: Parameters<typeof listenAt>[0],
  limits: Parameters<typeof import('./api/app.ts').createApi>[0]['limits'] = {},
): Promise<Api> {
  // Loaded only where it is served: other commands open a control plane too.
  const { createApi } = await import('./api/app.ts');
  const { registerOperations } = await import('./metrics/operations-routes.ts');
  const { registerRoutes } = await import('./api/routes/register-routes.ts');
  const { clock, random, logger } = control;
  return createApi({
    ports: { control, clock, random, logger },
    settings,
    limits,
    routes: (app, ports) => {
      registerOperations(app, control.metrics);
      registerRoutes(app, ports);
    },
  });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
