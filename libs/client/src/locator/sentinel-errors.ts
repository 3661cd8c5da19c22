import { NodeError } from '@tidemark/core';
import { describeAddress, type NodeAddress } from '../node-address.ts';

/** An error of a Sentinel as one that says so: its settings are not those of the nodes. */
export function sentinelError(error: unknown, sentinel: NodeAddress): unknown {
  if (!(error instanceof NodeError)) return error;
  const node = describeAddress(sentinel);
  const context = { ...error.context, sentinel: node };
  switch (error.code) {
    case 'TM_NODE_AUTH':
      return new NodeError('TM_SENTINEL_AUTH', `the Sentinel ${node} refuses: ${error.message}`, {
        context,
        hint: 'Sentinels have users of their own: sentinel_user and sentinel_password_file, --sentinel-user and --sentinel-pass-file',
      });
    case 'TM_NODE_RIGHTS':
      return new NodeError('TM_SENTINEL_AUTH', `the Sentinel ${node}: ${error.message}`, {
        context,
        hint: 'the rule for the user stands in docs/sentinel.md: ACL SETUSER … +sentinel|get-master-addr-by-name …',
      });
    case 'TM_NODE_REPLY':
      return new NodeError('TM_NODE_REPLY', `${node} does not answer as a Sentinel does`, {
        context,
        hint: 'is this the port of a node? Sentinels listen on 26379 by default',
      });
    default:
      return error;
  }
}

/** No Sentinel watches a primary of this name. */
export function unknownMaster(
  master: string,
  sentinel: NodeAddress,
  known: readonly string[] | null,
): NodeError {
  const names = known?.slice(0, 10).join(', ') ?? null;
  return new NodeError('TM_SENTINEL_MASTER', `the Sentinels watch no primary "${master}"`, {
    context: { master, sentinel: describeAddress(sentinel), known: names },
    hint: hintOf(names),
  });
}

function hintOf(names: string | null): string {
  if (names === null) return 'the name stands in sentinel.conf, after "sentinel monitor"';
  return names === '' ? 'this Sentinel watches none at all' : `it watches: ${names}`;
}

/**
 * The error to raise when no Sentinel gave an answer: what somebody has to mend counts more than what
 * time may mend.
 */
export function worstOf(
  failures: readonly { readonly sentinel: NodeAddress; readonly error: unknown }[],
): unknown {
  const notNodes = failures.find(({ error }) => !(error instanceof NodeError));
  if (notNodes !== undefined) return notNodes.error;
  const lasting = failures.find(({ error }) => error instanceof NodeError && !error.retryable);
  if (lasting !== undefined) return lasting.error;
  const last = failures.at(-1)?.error;
  const sentinels = failures.map(({ sentinel }) => describeAddress(sentinel)).join(', ');
  return new NodeError('TM_SENTINEL_DOWN', `no Sentinel answers (${sentinels})`, {
    context: {
      sentinels,
      errno: last instanceof NodeError ? (last.context.errno ?? null) : null,
    },
    hint: 'check that a Sentinel runs at one of these addresses, 26379 by default',
    cause: last,
  });
}

/** Nodes are not, or do not say they are, what the Sentinels say of them. */
export function staleView(node: NodeAddress, why: string, cause?: unknown): NodeError {
  const name = describeAddress(node);
  return new NodeError('TM_SENTINEL_STALE', `the Sentinels name ${name}, which ${why}`, {
    context: { node: name },
    hint: 'a failover takes its time; if this stays, look at SENTINEL MASTER and at the node itself',
    ...(cause === undefined ? {} : { cause }),
  });
}
