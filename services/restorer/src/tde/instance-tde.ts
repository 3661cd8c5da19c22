import { isIP } from 'node:net';
import { EMPTY_INSTANCE_STATE, readTde, refuseForTde, type Tde } from '@tidemark/catalog';
import type { RestoreEnvironment } from '../run/environment.ts';

/** What it takes to know whether an instance has TDE. */
export type TdeEnvironment = Pick<
  RestoreEnvironment,
  'store' | 'keys' | 'catalog' | 'stateDir' | 'signal'
>;

/**
 * Whether an instance has TDE, by its log, the marker in the store and the archiver's own file.
 * @throws As `readTde`: while one of them cannot be asked, nobody knows.
 */
export async function tdeOf(instance: string, environment: TdeEnvironment): Promise<Tde> {
  const { store, keys, catalog, stateDir, signal } = environment;
  const known = catalog.instances().find(({ iid }) => iid === instance);
  const logKey = await keys.logKey(instance);
  const state = known ?? EMPTY_INSTANCE_STATE;
  return readTde(instance, { state, store, logKey, stateDir, signal });
}

/**
 * Refuses to write back into the original of an instance with TDE whose owner has not allowed it.
 * @throws TidemarkError `TM_TDE_DENIED`; as `tdeOf`.
 */
export async function refuseOriginal(instance: string, environment: TdeEnvironment): Promise<Tde> {
  const tde = await tdeOf(instance, environment);
  const known = environment.catalog.instances().find(({ iid }) => iid === instance);
  if (known?.originalRestore !== true) refuseForTde(tde, 'original-restore');
  return tde;
}

/**
 * Refuses a restore into a server that is the original itself, named by its address.
 * @param runId - Of the target, as it says.
 * @throws TidemarkError `TM_TDE_DENIED`; as `tdeOf`.
 */
export async function refuseOriginalAsTarget(
  instance: string,
  runId: string,
  environment: TdeEnvironment,
): Promise<void> {
  const timelines = environment.catalog.timelines(instance);
  const isOriginal = timelines.some(({ node }) => runId !== '' && node.runId === runId);
  if (isOriginal) await refuseOriginal(instance, environment);
}

/**
 * Refuses to send clear data of an instance with TDE anywhere but over the loopback: there is no TLS.
 * @param addresses - Both ends of the connection, as far as they are known.
 * @throws TidemarkError `TM_TDE_DENIED` with `context.operation` `clear-transport`.
 */
export function refuseClearTransport(tde: Tde, addresses: readonly string[]): void {
  if (!addresses.every(isLoopback)) refuseForTde(tde, 'clear-transport');
}

/** Names are no addresses: only `localhost` is known to be here. */
function isLoopback(address: string): boolean {
  if (address === 'localhost') return true;
  if (isIP(address) === 4) return address.startsWith('127.');
  return isIP(address) === 6 && /^(::1|(0{1,4}:){7}0{0,3}1|::ffff:127\..*)$/i.test(address);
}
