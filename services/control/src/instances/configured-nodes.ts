import type { NodeClient, NodeFacts } from '@tidemark/client';
import { historiesIn, refuseSecondCapture, type ConfiguredNode } from '@tidemark/restorer';
import { type Config, configuredAddress, type Workspace } from '@tidemark/workspace';

/** The instances of the configuration, and where their nodes are now. */
export async function configuredNodes(config: Config): Promise<readonly ConfiguredNode[]> {
  const nodes: ConfiguredNode[] = [];
  for (const { id } of config.instances) {
    const address = await configuredAddress(id, config);
    if (address !== null) nodes.push({ instance: id, address });
  }
  return nodes;
}

/**
 * Refuses to take up a node that belongs to an instance with TDE of another name.
 * @throws As `refuseSecondCapture`.
 */
export async function refuseNodeUnderTde(
  id: string,
  { client, facts }: { readonly client: NodeClient; readonly facts: NodeFacts },
  workspace: Workspace,
  signal: AbortSignal,
): Promise<void> {
  await workspace.sync(signal);
  const { store, keys, catalog, config } = workspace;
  const { address } = client;
  const replids = historiesIn(await client.info('replication'));
  const environment = { store, keys, catalog, signal, stateDir: config.stateDir };
  const node = { address, replids, runId: facts.runId };
  await refuseSecondCapture(id, node, await configuredNodes(config), environment);
}
