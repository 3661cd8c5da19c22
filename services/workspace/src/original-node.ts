import { isSentinelUrl, type NodeAddress } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';
import type { NodePlace } from '@tidemark/restorer';
import { instanceTarget, type Config } from './config/load.ts';
import { entryAddress, locateNode } from './config/node-place.ts';
import type { InstanceEntry } from './config/schema.ts';

/**
 * Where the configured node of an instance takes writes now.
 * @throws UsageError `TM_NOT_FOUND` for an instance without a node in the configuration, `TM_CONFIG`;
 *   NodeError.
 */
export async function originalAddress(id: string, config: Config): Promise<NodeAddress> {
  const entry = config.instances.find((one) => one.id === id);
  if (entry !== undefined) return primaryAddress(entry, config);
  throw new UsageError('TM_NOT_FOUND', `the configuration has no instance ${id}`, {
    hint: `the running server is that of [[instance]] in ${config.path}`,
  });
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
