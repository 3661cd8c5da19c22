import { join } from 'node:path';
import { NodeError, PlanError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import { withHostLock } from './host-lock.ts';
import { availableMemory } from './host-memory.ts';
import { hostServers, type HostServer } from './host-servers.ts';

/** Servers of clones, and as many of restores, that run on a host at a time; each holds a dataset in memory. */
const SERVERS_MAX = 16;

/** A server that somebody wants started. */
export interface WantedServer {
  readonly kind: HostServer['kind'];
  /** Name of its folder: what is there of itself does not count. */
  readonly id: string;
  /** What its data need; 0: not known. */
  readonly memoryBytes: number;
}

/**
 * Writes down that a server is about to be started, if there is room for it: no two processes of the host look at
 * the same time, so that what one was promised the next one leaves alone.
 * @param note - Writes it down, given the servers that are there; from then on it counts.
 * @throws NodeError `TM_PROVISION` where as many as may run do; PlanError `TM_TARGET_MEMORY`; as `withHostLock`.
 */
export async function reserveServer(
  wanted: WantedServer,
  config: Pick<Config, 'stateDir' | 'clone'>,
  note: (others: readonly HostServer[]) => Promise<void>,
): Promise<void> {
  await withHostLock(join(config.stateDir, 'servers.lock'), async () => {
    const all = await hostServers(config);
    const others = all.filter(({ kind, id }) => kind !== wanted.kind || id !== wanted.id);
    refuseTooMany(wanted, others);
    await refuseTooLarge(wanted, others);
    await note(others);
  });
}

function refuseTooMany({ kind }: WantedServer, others: readonly HostServer[]): void {
  const running = others.filter((each) => each.kind === kind && each.state !== 'ended').length;
  if (running < SERVERS_MAX) return;
  throw new NodeError('TM_PROVISION', `too many servers of earlier ${kind}s run on this host`, {
    context: { reason: 'servers', running, most: SERVERS_MAX },
    hint: 'end what nobody needs: tidemark servers list, tidemark servers end NAME',
  });
}

async function refuseTooLarge(
  { memoryBytes }: WantedServer,
  others: readonly HostServer[],
): Promise<void> {
  const promised = promisedBytes(others);
  const available = await availableMemory();
  if (memoryBytes <= Math.max(0, available - promised)) return;
  throw new PlanError('TM_TARGET_MEMORY', 'this machine has less memory left than the data need', {
    context: { needed: memoryBytes, available, promised },
    hint: 'name a server on another host, or end one here: tidemark servers list',
  });
}

/** What servers that are being filled will take yet. */
function promisedBytes(servers: readonly HostServer[]): number {
  return servers
    .filter(({ state }) => state === 'starting')
    .reduce(
      (sum, { memoryBytes, residentBytes }) => sum + Math.max(0, memoryBytes - residentBytes),
      0,
    );
}
