import { connectNode, type Info, type NodeAddress, type NodeClient } from '@tidemark/client';
import {
  isSameAddress,
  isSamePlace,
  isUnanswered,
  NODE_ANSWER_MS,
  type TargetNode,
} from '../tde/original-node.ts';

/** Replicas of one node that are looked at. */
const REPLICAS_MAX = 64;
/** What a server says that has no second history. */
const NO_HISTORY = /^0*$/;

/**
 * What a target is to a node: the node itself, one of its replicas (also of its replicas'), its primary, or a
 * server with data of the same replication history, as one has that took over from it.
 */
export type NodeRelation = 'node' | 'replica' | 'primary' | 'history';

/** A server as its INFO describes it. */
interface Standing {
  readonly runId: string;
  readonly isReplica: boolean;
  readonly holdsData: boolean;
  /** Ids of the replication histories that it has. */
  readonly histories: readonly string[];
  readonly master: NodeAddress | null;
  readonly replicas: readonly NodeAddress[];
}

/**
 * What a target is to a configured node. Where that does not answer it is told by its place alone.
 * @returns Null: nothing.
 * @throws NodeError when the target does not answer any more; the signal's reason.
 * @see redis src/replication.c: all servers of a tree of replicas have the `master_replid` of its root; one
 *   that is promoted keeps that as its `master_replid2`.
 */
export async function relationToNode(
  { client, runId }: TargetNode,
  node: NodeAddress,
  signal: AbortSignal,
): Promise<NodeRelation | null> {
  const target = await standingOf(client);
  const known = runId === '' ? null : await askNode(node, signal);
  if (known === null || known.runId === '') {
    if (await isSamePlace(client, node)) return 'node';
    return relationByPlace(target, node);
  }
  if (known.runId === runId) return 'node';
  const { master } = known;
  if (master !== null && (await isSamePlace(client, master))) return 'primary';
  for (const replica of known.replicas) if (await isSamePlace(client, replica)) return 'replica';
  const byPlace = await relationByPlace(target, node);
  if (byPlace !== null) return byPlace;
  if (!target.histories.some((id) => known.histories.includes(id))) return null;
  if (target.isReplica) return 'replica';
  if (known.isReplica) return 'primary';
  return target.holdsData ? 'history' : null;
}

/** By what the target says of whom it follows, and who follows it. */
async function relationByPlace(
  { master, replicas }: Standing,
  node: NodeAddress,
): Promise<NodeRelation | null> {
  if (master !== null && (await isSameAddress(master, node))) return 'replica';
  for (const replica of replicas) if (await isSameAddress(replica, node)) return 'primary';
  return null;
}

/** Null when the node is down, or refuses us. */
async function askNode(node: NodeAddress, signal: AbortSignal): Promise<Standing | null> {
  const timeoutMs = NODE_ANSWER_MS;
  const options = { signal, name: 'tidemark-restorer', timeoutMs, replyTimeoutMs: timeoutMs };
  try {
    await using client = await connectNode(node, options);
    return await standingOf(client);
  } catch (cause) {
    if (isUnanswered(cause)) return null;
    throw cause;
  }
}

async function standingOf(client: NodeClient): Promise<Standing> {
  const info = await client.info('server', 'replication', 'keyspace');
  const histories = ['master_replid', 'master_replid2'].map((name) => info.get(name) ?? '');
  return {
    runId: info.get('run_id') ?? '',
    isReplica: info.get('role') === 'slave',
    holdsData: info.names(/^db\d+$/).length > 0,
    histories: histories.filter((id) => !NO_HISTORY.test(id)),
    master: placeOf(info.get('master_host'), info.get('master_port'), client),
    replicas: replicasOf(info, client),
  };
}

/** Captures announce no port: they are left out. */
function replicasOf(info: Info, client: NodeClient): readonly NodeAddress[] {
  return info
    .names(/^slave\d+$/)
    .slice(0, REPLICAS_MAX)
    .flatMap((name) => {
      const { ip, port } = info.fields(name);
      const place = placeOf(ip, port, client);
      return place === null ? [] : [place];
    });
}

function placeOf(
  host: string | undefined,
  port: string | undefined,
  { remoteAddress }: NodeClient,
): NodeAddress | null {
  if (host === undefined || host === '' || !(Number(port) > 0)) return null;
  // The loopback of who says so.
  const isOwn = host === 'localhost' || host === '::1' || host.startsWith('127.');
  return { host: isOwn ? remoteAddress : host, port: Number(port) };
}
