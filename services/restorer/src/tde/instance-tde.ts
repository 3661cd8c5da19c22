import { isIP } from 'node:net';
import { EMPTY_INSTANCE_STATE, readTde, refuseForTde, type Tde } from '@tidemark/catalog';
import type { NodeClient } from '@tidemark/client';
import type { RestoreEnvironment } from '../run/environment.ts';
import { isConfiguredNode, unknownPlace, type TargetNode } from './original-node.ts';

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
 * Refuses a restore into a server that is the original itself, named by its address: one whose log
 * was captured, or the configured node as it is now.
 * @throws TidemarkError `TM_TDE_DENIED`; NodeError `TM_NODE_UNREACHABLE` while nobody tells where the
 *   configured node is; as `tdeOf`, `isConfiguredNode`.
 */
export async function refuseOriginalAsTarget(
  instance: string,
  { client, runId }: TargetNode,
  environment: TdeEnvironment & Pick<RestoreEnvironment, 'original'>,
): Promise<void> {
  const { catalog, original, signal } = environment;
  const known = catalog.instances().find(({ iid }) => iid === instance);
  if (known?.originalRestore === true) return;
  const timelines = catalog.timelines(instance);
  const captured = timelines.some(({ node }) => runId !== '' && node.runId === runId);
  if (!captured && original === null) return;
  const tde = await tdeOf(instance, environment);
  // The node of any other instance need not be asked.
  if (tde.state === 'disabled') return;
  if (captured) refuseForTde(tde, 'original-restore');
  if (original === null) return;
  if (original === 'unknown') {
    throw unknownPlace(instance, '; or restore into a server that is started here: --to new');
  }
  if (await isConfiguredNode(client, runId, original, signal)) {
    refuseForTde(tde, 'original-restore');
  }
}

/**
 * Refuses to send clear data of an instance with TDE anywhere but over the loopback without TLS.
 * @param addresses - Ends of connections without TLS, as far as they are known.
 * @throws TidemarkError `TM_TDE_DENIED` with `context.operation` `clear-transport`.
 */
export function refuseClearTransport(tde: Tde, addresses: readonly string[]): void {
  if (!addresses.every(isLoopback)) refuseForTde(tde, 'clear-transport');
}

/**
 * As `refuseClearTransport`, for a connection that names of keys go over.
 * @throws TidemarkError `TM_TDE_DENIED`; as `tdeOf`.
 */
export async function refuseClearNames(
  instance: string,
  client: Pick<NodeClient, 'address' | 'remoteAddress'>,
  environment: TdeEnvironment,
): Promise<void> {
  refuseClearTransport(await tdeOf(instance, environment), clearEnds(client));
}

/** The far end of a connection, unless it goes over TLS. */
export function clearEnds({
  address,
  remoteAddress,
}: Pick<NodeClient, 'address' | 'remoteAddress'>): readonly string[] {
  return address.tls === undefined ? [remoteAddress] : [];
}

/** Names are no addresses: only `localhost` is known to be here. */
function isLoopback(address: string): boolean {
  if (address === 'localhost') return true;
  if (isIP(address) === 4) return address.startsWith('127.');
  return isIP(address) === 6 && /^(::1|(0{1,4}:){7}0{0,3}1|::ffff:127\..*)$/i.test(address);
}
