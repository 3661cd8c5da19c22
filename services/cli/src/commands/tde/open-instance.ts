import {
  openInstanceLog,
  readTde,
  type InstanceLog,
  type LatchPorts,
  type Tde,
} from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';

/** One instance as the TDE commands see it. */
export interface TdeInstance {
  readonly log: InstanceLog;
  readonly ports: LatchPorts;
  readonly tde: Tde;
}

/**
 * Brings the catalog up to date, opens the log of an instance and asks all three places.
 * @throws UsageError `TM_NOT_FOUND` for an instance that the store does not have.
 */
export async function openTdeInstance(
  id: string,
  workspace: Workspace,
  { signal }: Invocation,
): Promise<TdeInstance> {
  await workspace.sync(signal, id);
  if (!workspace.catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const { store, keys, config } = workspace;
  const logKey = await keys.logKey(id);
  const [clock, random, stateDir] = [systemClock, systemRandom, config.stateDir];
  const ports = { store, logKey, stateDir, clock, random, signal };
  const log = await openInstanceLog({ ...ports, iid: id, keyProven: true });
  return { log, ports, tde: await readTde(id, { ...ports, state: log.state }) };
}
