import { PlanError } from '@tidemark/core';
import { relationToNode, type NodeRelation, type TargetNode } from '@tidemark/restorer';
import { configuredAddress, loadConfig, type Config, type Workspace } from '@tidemark/workspace';

/** Nodes that are asked at once who they are. */
const ASKED_MAX = 16;

/** What a target is to a protected instance; `captured`: the process whose log was captured. */
type Relation = NodeRelation | 'captured';

const WHAT: Readonly<Record<Relation, string>> = {
  node: 'is the node',
  captured: 'was captured as a node',
  replica: 'is a replica',
  primary: 'is the primary',
  history: 'holds data of the replication history',
};

const HINTS: Readonly<Record<Relation, string>> = {
  node: 'restore keys into the original with target "original", or all of it into another server',
  captured: 'name another server; one that is nobody’s by now is another process after a restart',
  replica: 'its primary would overwrite it; name a server that stands alone',
  primary: 'what is written into it flows into the instance; name a server that stands alone',
  history: 'it may have taken over as the node; if it is nobody’s, empty it yourself first',
};

/**
 * Refuses a server that is the node of an instance, whatever `[restorer] allow_targets` says: a restore would
 * take the data of its owner. So is one that replicates with such a node, in either direction or through
 * others, and the process of an instance that any host has captured into the store. The configuration is read
 * anew, since instances are added while this process runs.
 * @throws PlanError `TM_TARGET_DENIED` with `context.instance` and `context.relation`; as `relationToNode`.
 */
export async function refuseConfiguredNode(
  target: TargetNode,
  workspace: Pick<Workspace, 'config' | 'catalog'>,
  signal: AbortSignal,
): Promise<void> {
  const owner = capturedAs(target, workspace);
  for await (const [instance, relation] of relationsOf(target, workspace, signal)) {
    throw denied(instance, relation);
  }
  if (owner !== null) throw denied(owner, 'captured');
}

/**
 * The instance that a server is the node of, by the configuration as it is now, or is captured as by any host.
 * @returns Null: of none.
 * @throws As `relationToNode`.
 */
export async function instanceOfNode(
  target: TargetNode,
  workspace: Pick<Workspace, 'config' | 'catalog'>,
  signal: AbortSignal,
): Promise<string | null> {
  for await (const [instance, relation] of relationsOf(target, workspace, signal)) {
    if (relation === 'node') return instance;
  }
  return capturedAs(target, workspace);
}

async function* relationsOf(
  target: TargetNode,
  workspace: Pick<Workspace, 'config'>,
  signal: AbortSignal,
): AsyncIterable<readonly [string, NodeRelation]> {
  const config = await loadConfig(workspace.config.path);
  const ids = config.instances.map(({ id }) => id);
  for (let from = 0; from < ids.length; from += ASKED_MAX) {
    const some = ids.slice(from, from + ASKED_MAX);
    const are = await Promise.all(some.map((id) => relationTo(id, target, config, signal)));
    for (const [index, relation] of are.entries()) {
      if (relation !== null) yield [some[index] ?? '', relation];
    }
  }
}

async function relationTo(
  instance: string,
  target: TargetNode,
  config: Config,
  signal: AbortSignal,
): Promise<NodeRelation | null> {
  const place = await configuredAddress(instance, config);
  // While no Sentinel tells, what was captured does.
  if (place === null || place === 'unknown') return null;
  return relationToNode(target, place, signal);
}

/**
 * The instance, of whatever host, that this process is captured as. One that was detached, or lies in the
 * recycle bin, was let go.
 */
function capturedAs({ runId }: TargetNode, { catalog }: Pick<Workspace, 'catalog'>): string | null {
  if (runId === '') return null;
  for (const { iid, recycle } of catalog.instances()) {
    if (iid === null || recycle !== null) continue;
    const isIts = catalog
      .timelines(iid)
      .some(({ node, closed }) => node.runId === runId && closed?.reason !== 'detached');
    if (isIts) return iid;
  }
  return null;
}

function denied(instance: string, relation: Relation): PlanError {
  return new PlanError('TM_TARGET_DENIED', `this server ${WHAT[relation]} of ${instance}`, {
    context: { instance, relation },
    hint: HINTS[relation],
  });
}
