import { stderrLogger } from '@tidemark/archiver';
import { refuseUnverified } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { openControl } from './control.ts';

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
  await control.metrics.begin();
  await control.run(signal, { workers: true, scheduler: false });
}
