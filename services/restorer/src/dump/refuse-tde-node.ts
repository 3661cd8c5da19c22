import { refuseForTde } from '@tidemark/catalog';
import { connectNode, type NodeAddress } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { tdeOf, type TdeEnvironment } from '../tde/instance-tde.ts';
import { isSameAddress, unknownPlace, type NodePlace } from '../tde/original-node.ts';

/** A node that is there answers in less. */
const ASK_TIMEOUT_MS = 5_000;

/** An instance of the configuration. */
export interface ConfiguredNode {
  readonly instance: string;
  /** Where its node is now. */
  readonly address: NodePlace;
}

/**
 * Refuses a plain copy of a node that belongs to a configured instance with TDE: one at the same
 * place, or, once its replication id is known, one of the same history (a replica of it, another
 * name for it).
 *
 * @param replid - Of the node that is to be copied; null: not known yet.
 * @throws TidemarkError `TM_TDE_DENIED`; NodeError `TM_NODE_UNREACHABLE` while nobody tells where one
 *   with TDE is; as `tdeOf`: while that cannot be told, nothing is copied.
 */
export async function refuseTdeNode(
  node: { readonly address: NodeAddress; readonly replid: string | null },
  configured: readonly ConfiguredNode[],
  environment: TdeEnvironment,
): Promise<void> {
  const { address, replid } = node;
  let unknown: string | null = null;
  for (const { instance, address: its } of configured) {
    const tde = await tdeOf(instance, environment);
    if (tde.state === 'disabled') continue;
    if (its === 'unknown') {
      unknown ??= instance;
      continue;
    }
    const isIts =
      (await isSameAddress(address, its)) ||
      (replid !== null && (await historiesOf(its, environment.signal)).includes(replid));
    if (isIts) refuseForTde(tde, 'plain-copy');
  }
  if (unknown !== null) throw unknownPlace(unknown);
}

/** Ids of the present history of a node; none when it is down, refuses us, or does not tell. */
async function historiesOf(address: NodeAddress, signal: AbortSignal): Promise<readonly string[]> {
  const timeoutMs = ASK_TIMEOUT_MS;
  try {
    await using client = await connectNode(address, {
      ...{ signal, timeoutMs, replyTimeoutMs: timeoutMs },
      name: 'tidemark-dump',
    });
    const info = await client.info('replication');
    return ['master_replid', 'master_replid2'].map((name) => info.get(name) ?? '');
  } catch (cause) {
    if (cause instanceof NodeError) return [];
    throw cause;
  }
}
