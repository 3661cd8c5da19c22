import { realpath } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { connectNode, type NodeAddress, type NodeClient } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';

/** A node that is there answers in less. */
export const NODE_ANSWER_MS = 5_000;

/** Where a configured node is; `unknown`: nobody tells, since e.g. no Sentinel of it answers. */
export type NodePlace = NodeAddress | 'unknown';

/** A target that is connected, and the run id that it gave. */
export interface TargetNode {
  readonly client: NodeClient;
  readonly runId: string;
}

/** Of an instance with TDE: while nobody tells which node is its own, any could be. */
export function unknownPlace(instance: string, wayOut = ''): NodeError {
  return new NodeError(
    'TM_NODE_UNREACHABLE',
    `${instance} has TDE, and nobody tells which node is its own`,
    {
      context: { instance },
      hint: `again, once its Sentinels answer (tidemark instance show ${instance})${wayOut}`,
    },
  );
}

/**
 * Whether a target is the configured node: by the run id that the node has now, which no restart
 * makes stale, or, where the node cannot be asked for it, by its place.
 * @param runId - Of the target, as it says; empty: it does not.
 * @throws NodeError when the target does not answer any more; the signal's reason.
 */
export async function isConfiguredNode(
  target: NodeClient,
  runId: string,
  original: NodeAddress,
  signal: AbortSignal,
): Promise<boolean> {
  const present = runId === '' ? '' : await presentRunId(original, signal);
  return present === '' ? isSamePlace(target, original) : present === runId;
}

/** Empty when the node is down, refuses us, or does not tell. */
async function presentRunId(original: NodeAddress, signal: AbortSignal): Promise<string> {
  const timeoutMs = NODE_ANSWER_MS;
  const options = { signal, name: 'tidemark-restorer', timeoutMs, replyTimeoutMs: timeoutMs };
  try {
    await using client = await connectNode(original, options);
    return (await client.info('server')).get('run_id') ?? '';
  } catch (cause) {
    if (isUnanswered(cause)) return '';
    throw cause;
  }
}

/** Whether a node could not be asked: it is down, refuses us, or this user may not read its certificates. */
export function isUnanswered(cause: unknown): boolean {
  if (cause instanceof NodeError) return true;
  return cause instanceof UsageError && cause.code === 'TM_TLS_SETTINGS';
}

/** Whether a server that is connected stands where an address leads to. */
export async function isSamePlace(target: NodeClient, original: NodeAddress): Promise<boolean> {
  const { address, remoteAddress } = target;
  if (original.path !== undefined) {
    const socket = address.path ?? (await ownSocket(target));
    return socket !== '' && (await realPath(socket)) === (await realPath(original.path));
  }
  const ports = [address.path === undefined ? address.port : 0, ...(await ownPorts(target))];
  if (!ports.includes(original.port)) return false;
  if (original.host.toLowerCase() === address.host.toLowerCase()) return true;
  const found = await lookup(original.host, { all: true }).catch(() => []);
  return found.some(
    (one) =>
      has(listOf([remoteAddress]), one.address) ||
      (isThisHost(one.address) && isThisHost(remoteAddress)),
  );
}

/** Whether two addresses lead to the same place, as far as names and addresses tell. */
export async function isSameAddress(one: NodeAddress, other: NodeAddress): Promise<boolean> {
  if (one.path !== undefined || other.path !== undefined) {
    if (one.path === undefined || other.path === undefined) return false;
    return (await realPath(one.path)) === (await realPath(other.path));
  }
  if (one.port !== other.port) return false;
  if (one.host.toLowerCase() === other.host.toLowerCase()) return true;
  const [left, right] = await Promise.all([addressesOf(one.host), addressesOf(other.host)]);
  return left.some(
    (ip) => has(listOf(right), ip) || (isThisHost(ip) && right.some((its) => isThisHost(its))),
  );
}

async function addressesOf(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}

/** The unix socket of a server on this host; empty when it has none or does not tell. */
async function ownSocket(target: NodeClient): Promise<string> {
  if (!isThisHost(target.remoteAddress)) return '';
  try {
    return (await target.configGet('unixsocket'))['unixsocket'] ?? '';
  } catch (cause) {
    if (cause instanceof NodeError && cause.code !== 'TM_NODE_UNREACHABLE') return '';
    throw cause;
  }
}

/** The ports a server listens on, the one with TLS too as far as it tells. */
async function ownPorts(target: NodeClient): Promise<readonly number[]> {
  const port = Number((await target.info('server')).get('tcp_port') ?? 0);
  try {
    return [port, Number((await target.configGet('tls-port'))['tls-port'] ?? 0)];
  } catch (cause) {
    if (cause instanceof NodeError && cause.code !== 'TM_NODE_UNREACHABLE') return [port];
    throw cause;
  }
}

/** The socket of a server that is down is gone: then the path is what there is to compare. */
function realPath(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

/** Whether an IP address is one of this host; 0.0.0.0 and :: lead here too. */
function isThisHost(ip: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const list = listOf([...own.map(({ address }) => address), '0.0.0.0', '::', '::1']);
  list.addSubnet('127.0.0.0', 8);
  return has(list, ip);
}

/** Takes every spelling of an address for the same. */
function listOf(ips: readonly string[]): BlockList {
  const list = new BlockList();
  for (const ip of ips) if (isIP(ip) !== 0) list.addAddress(ip, familyOf(ip));
  return list;
}

function has(list: BlockList, ip: string): boolean {
  return isIP(ip) !== 0 && list.check(ip, familyOf(ip));
}

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 6 ? 'ipv6' : 'ipv4';
}
