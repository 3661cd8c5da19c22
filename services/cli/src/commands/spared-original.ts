import { isSentinelUrl, type NodeAddress } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';
import { parseRateLimit, type NodePlace, type SparedServer } from '@tidemark/restorer';
import { instanceTarget, type Config } from '../config/load.ts';
import { entryAddress, locateNode } from '../config/node-place.ts';
import type { InstanceEntry } from '../config/schema.ts';
import { parseDuration } from '../config/units.ts';
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
  const entry = config.instances.find((one) => one.id === id);
  if (entry === undefined) {
    throw new UsageError('TM_NOT_FOUND', `the configuration has no instance ${id}`, {
      hint: `the running server is that of [[instance]] in ${config.path}`,
    });
  }
  const address = await primaryAddress(entry, config);
  const latencyMaxMs = parseDuration(flags.maxLatency, '--max-latency');
  const rate = flags.rateLimit === undefined ? null : parseRateLimit(flags.rateLimit);
  return { address, latencyMaxMs, rate };
}

/**
 * Where the configured node of an instance is, to tell it from a target; null when none is configured
 * here, `unknown` when no Sentinel tells. With a password or certificates that this user may not read it
 * is told by its place, where the configuration says that.
 */
export async function configuredAddress(id: string, config: Config): Promise<NodePlace | null> {
  const entry = config.instances.find((one) => one.id === id);
  if (entry === undefined) return null;
  try {
    return await primaryAddress(entry, config);
  } catch (cause) {
    const isUnread = cause instanceof UsageError && /^TM_(CONFIG|TLS_SETTINGS)$/.test(cause.code);
    if (isUnread) return isSentinelUrl(entry.url) ? 'unknown' : entryAddress(entry.url);
    if (cause instanceof NodeError) return 'unknown'; // a disaster that is restored from
    throw cause;
  }
}

/** A replica takes no writes, and may be behind. */
async function primaryAddress(entry: InstanceEntry, config: Config): Promise<NodeAddress> {
  return locateNode(await instanceTarget({ ...entry, prefer_replica: false }, config.path));
}
