import { PlanError } from '@tidemark/core';
import { isConfiguredNode, type TargetNode } from '@tidemark/restorer';
import { configuredAddress, loadConfig, type Config, type Workspace } from '@tidemark/workspace';

/** Nodes that are asked at once who they are. */
const ASKED_MAX = 16;

/**
 * Refuses a server that is the node of an instance of this host, whatever `[restorer] allow_targets` says:
 * a restore would take the data of its owner. The configuration is read anew, since instances are added
 * while this process runs.
 * @throws PlanError `TM_TARGET_DENIED` with `context.instance`; as `isConfiguredNode`.
 */
export async function refuseConfiguredNode(
  target: TargetNode,
  workspace: Pick<Workspace, 'config' | 'catalog'>,
  signal: AbortSignal,
): Promise<void> {
  const config = await loadConfig(workspace.config.path);
  const ids = config.instances.map(({ id }) => id);
  for (let from = 0; from < ids.length; from += ASKED_MAX) {
    const some = ids.slice(from, from + ASKED_MAX);
    const are = await Promise.all(
      some.map((id) => isNodeOf(id, target, config, workspace, signal)),
    );
    const instance = some[are.indexOf(true)];
    if (instance !== undefined) throw denied(instance);
  }
}

async function isNodeOf(
  instance: string,
  { client, runId }: TargetNode,
  config: Config,
  { catalog }: Pick<Workspace, 'catalog'>,
  signal: AbortSignal,
): Promise<boolean> {
  const place = await configuredAddress(instance, config);
  if (place === null) return false;
  if (place !== 'unknown') return isConfiguredNode(client, runId, place, signal);
  // No Sentinel tells, in a disaster say: what was captured tells which processes were its own.
  return (
    runId !== '' &&
    catalog.instances().some(({ iid }) => iid === instance) &&
    catalog.timelines(instance).some(({ node }) => node.runId === runId)
  );
}

function denied(instance: string): PlanError {
  return new PlanError('TM_TARGET_DENIED', `this server is the node of ${instance}`, {
    context: { instance },
    hint: 'restore keys into the original with target "original", or all of it into another server',
  });
}
