import { connectNode } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { instanceTarget, locateNode, type Config } from '@tidemark/workspace';
import { configuredEntry } from './instances.ts';

/**
 * Makes sure that the node of an instance writes the log that its capture reads. One that is captured
 * by replication needs none.
 * @throws UsageError `TM_NOT_FOUND` for one without a node in the configuration; NodeError `TM_AOF_OFF`
 *   with what to run, `TM_NODE_UNREACHABLE`.
 */
export async function requireLog(
  id: string,
  config: Pick<Config, 'instances' | 'path'>,
  signal: AbortSignal,
): Promise<void> {
  const entry = configuredEntry(id, config);
  if (entry.source === 'psync') return;
  const target = await instanceTarget(entry, config.path);
  await using client = await connectNode(await locateNode(target, signal), { signal });
  const { appendonly } = await client.configGet('appendonly');
  if (appendonly === 'yes') return;
  throw new NodeError('TM_AOF_OFF', 'the append-only file of this node is off', {
    context: { instance: id },
    hint: 'run on the node: CONFIG SET appendonly yes (and CONFIG REWRITE to keep it so)',
  });
}
