import { parseRateLimit, type SparedServer } from '@tidemark/restorer';
import { originalAddress, parseDuration, type Config } from '@tidemark/workspace';
import type { SpareFlags } from './spare-flags.ts';

/**
 * The configured node of an instance, and how it is spared.
 * @throws UsageError `TM_NOT_FOUND` for an instance without a node in the configuration; `TM_USAGE`,
 *   `TM_CONFIG` for flags that cannot be read.
 */
export async function sparedOriginal(
  id: string,
  flags: SpareFlags,
  config: Config,
): Promise<SparedServer> {
  const address = await originalAddress(id, config);
  const latencyMaxMs = parseDuration(flags.maxLatency, '--max-latency');
  const rate = flags.rateLimit === undefined ? null : parseRateLimit(flags.rateLimit);
  return { address, locate: () => originalAddress(id, config), latencyMaxMs, rate };
}
