import type { NodeClient } from '@tidemark/client';

/**
 * Looks which commands a server has.
 * @returns For each name in order; false for all where COMMAND may not be asked.
 */
export async function commandKnown(
  client: NodeClient,
  names: readonly string[],
): Promise<readonly boolean[]> {
  const [reply] = await client.pipeline([['COMMAND', 'INFO', ...names]]);
  return names.map((_, i) => Array.isArray(reply) && Array.isArray((reply as unknown[])[i]));
}
