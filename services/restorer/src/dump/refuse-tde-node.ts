import { refuseForTde, type Tde } from '@tidemark/catalog';
import { connectNode, type Info, type NodeAddress } from '@tidemark/client';
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

/** A node that is to be read, and what is known of it. */
export interface ReadNode {
  readonly address: NodeAddress;
  /** Ids of its present history; none: not known yet. */
  readonly replids: readonly string[];
  /** Empty: not known. */
  readonly runId: string;
}

/**
 * Refuses a plain copy of a node that belongs to a configured instance with TDE: one at the same
 * place, or, once its replication id is known, one of the same history (a replica of it, another
 * name for it).
 *
 * @throws TidemarkError `TM_TDE_DENIED`; NodeError `TM_NODE_UNREACHABLE` while nobody tells where one
 *   with TDE is; as `tdeOf`: while that cannot be told, nothing is copied.
 */
export async function refuseTdeNode(
  node: ReadNode,
  configured: readonly ConfiguredNode[],
  environment: TdeEnvironment,
): Promise<void> {
  const tde = await ownerOf(node, configured, environment);
  if (tde !== null) refuseForTde(tde, 'plain-copy');
}

/**
 * Refuses to capture a node under a second name that belongs to an instance with TDE: what is stored
 * under that name would not be under TDE.
 *
 * @param id - The name: what is known of it is its own.
 * @throws As `refuseTdeNode`.
 */
export async function refuseSecondCapture(
  id: string,
  node: ReadNode,
  configured: readonly ConfiguredNode[],
  environment: TdeEnvironment,
): Promise<void> {
  const others = configured.filter(({ instance }) => instance !== id);
  const tde = (await captorOf(id, node, environment)) ?? (await ownerOf(node, others, environment));
  if (tde !== null) refuseForTde(tde, 'second-capture');
}

/** The configured instance with TDE that a node belongs to. */
async function ownerOf(
  node: ReadNode,
  configured: readonly ConfiguredNode[],
  environment: TdeEnvironment,
): Promise<Tde | null> {
  let unknown: string | null = null;
  for (const { instance, address: its } of configured) {
    const tde = await tdeOf(instance, environment);
    if (tde.state === 'disabled') continue;
    if (its === 'unknown') {
      unknown ??= instance;
      continue;
    }
    if (await isSameAddress(node.address, its)) return tde;
    if (node.replids.length === 0) continue;
    const histories = await historiesOf(its, environment.signal);
    if (node.replids.some((replid) => histories.includes(replid))) return tde;
  }
  if (unknown !== null) throw unknownPlace(unknown);
  return null;
}

/** The instance with TDE, configured or not, under which a process was captured. */
async function captorOf(
  id: string,
  { runId }: ReadNode,
  environment: TdeEnvironment,
): Promise<Tde | null> {
  if (runId === '') return null;
  const { catalog } = environment;
  for (const { iid } of catalog.instances()) {
    if (iid === null || iid === id) continue;
    if (!catalog.timelines(iid).some(({ node }) => node.runId === runId)) continue;
    const tde = await tdeOf(iid, environment);
    if (tde.state !== 'disabled') return tde;
  }
  return null;
}

/** Ids of the present history of a node; none when it is down, refuses us, or does not tell. */
async function historiesOf(address: NodeAddress, signal: AbortSignal): Promise<readonly string[]> {
  const timeoutMs = ASK_TIMEOUT_MS;
  try {
    await using client = await connectNode(address, {
      ...{ signal, timeoutMs, replyTimeoutMs: timeoutMs },
      name: 'tidemark-dump',
    });
    return historiesIn(await client.info('replication'));
  } catch (cause) {
    if (cause instanceof NodeError) return [];
    throw cause;
  }
}

/** Ids of the present history of a node, from its `INFO replication`. A node without a former one has zeros. */
export function historiesIn(info: Pick<Info, 'get'>): readonly string[] {
  return ['master_replid', 'master_replid2']
    .map((name) => info.get(name) ?? '')
    .filter((replid) => !/^0*$/.test(replid));
}
