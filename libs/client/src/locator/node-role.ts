import { NodeError } from '@tidemark/core';
import type { NodeAddress } from '../node-address.ts';
import { connectNode, type NodeClient } from '../node-client.ts';
import { hostPortOf, type HostPort } from './host-port.ts';

/** What a node says of itself. */
export type NodeRole =
  | { readonly kind: 'primary' }
  | { readonly kind: 'replica'; readonly of: HostPort | null; readonly linkUp: boolean };

/**
 * Asks a node on a connection of its own.
 *
 * @throws NodeError as `connectNode`; `TM_NODE_RIGHTS`, `TM_NODE_REPLY`.
 */
export async function askRole(
  address: NodeAddress,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<NodeRole> {
  await using client = await connectNode(address, {
    timeoutMs,
    replyTimeoutMs: timeoutMs,
    name: 'tidemark-locator',
    signal,
  });
  return await roleOf(client);
}

async function roleOf(client: NodeClient): Promise<NodeRole> {
  try {
    return readRole(await client.call('ROLE'));
  } catch (error) {
    if (!(error instanceof NodeError) || error.code !== 'TM_NODE_RIGHTS') throw error;
  }
  // A user that captures need not have ROLE; INFO says the same.
  const info = await client.info('replication');
  if (info.get('role') === 'master') return { kind: 'primary' };
  const of = hostPortOf(info.get('master_host'), info.get('master_port'));
  return { kind: 'replica', of, linkUp: info.get('master_link_status') === 'up' };
}

/** @see redis src/replication.c, roleCommand: `master` …, or `slave`, host, port, state, offset */
function readRole(reply: unknown): NodeRole {
  const [role, host, port, state] = Array.isArray(reply) ? (reply as unknown[]) : [];
  if (role === 'master') return { kind: 'primary' };
  if (role === 'slave') {
    return { kind: 'replica', of: hostPortOf(host, port), linkUp: state === 'connected' };
  }
  throw new NodeError('TM_NODE_REPLY', 'the node is neither a primary nor a replica', {
    context: { role: typeof role === 'string' ? role.slice(0, 40) : null },
    hint: 'a Sentinel names nodes; is a Sentinel itself registered as one?',
  });
}
