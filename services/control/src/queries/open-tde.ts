import {
  openInstanceLog,
  readTde,
  type InstanceLog,
  type LatchPorts,
  type Tde,
} from '@tidemark/catalog';
import type { KeyAdmin, KeyProviders, WrappingKey } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { knownInstance } from './known-instance.ts';

/** One instance as whoever asks for or changes its TDE sees it. */
export interface TdeInstance {
  readonly log: InstanceLog;
  readonly ports: LatchPorts;
  readonly tde: Tde;
}

/**
 * Opens the log of an instance and asks all three places. The catalog is up to date.
 * @throws UsageError `TM_NOT_FOUND` for an instance that the store does not have; as `readTde`.
 */
export async function openTdeInstance(
  id: string,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<TdeInstance> {
  knownInstance(workspace.catalog, id);
  const { store, keys, config } = workspace;
  const logKey = await keys.logKey(id);
  const [clock, random, stateDir] = [systemClock, systemRandom, config.stateDir];
  const ports = { store, logKey, stateDir, clock, random, signal };
  const log = await openInstanceLog({ ...ports, iid: id, keyProven: true });
  return { log, ports, tde: await readTde(id, { ...ports, state: log.state }) };
}

/**
 * Who looks after a key that the user names. The id of the local ring is the ring's; every other name
 * is one of the key service's.
 * @throws KeyError `TM_KEY_MISSING` when no key service is configured.
 */
export async function adminOfKey(name: string, keys: KeyProviders): Promise<KeyAdmin> {
  const ring = await keys.adminOf('ring');
  const [own] = await ring.listUsable();
  return own?.keyId === name ? ring : keys.adminOf('aws-kms');
}

/** The key that is meant: the one that was named, that of the instance, or that of the settings. */
export async function meantKey(
  name: string | undefined,
  tde: Tde,
  keys: KeyProviders,
): Promise<{ readonly admin: KeyAdmin; readonly key: WrappingKey }> {
  if (name !== undefined) {
    const admin = await adminOfKey(name, keys);
    const { provider, keyId } = await admin.describe(name);
    return { admin, key: { provider, keyId } };
  }
  const key = tde.key ?? (await keys.defaultKey());
  return { admin: await keys.adminOf(key.provider), key };
}
