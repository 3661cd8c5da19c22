import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';

/**
 * Makes a server of our own writable and finds a database of it that holds nothing.
 * @returns Its number.
 * @throws NodeError `TM_NODE_REPLY` when every database holds keys.
 */
export async function openSpareDatabase(client: NodeClient): Promise<number> {
  await client.configSet('replica-read-only', 'no');
  const { databases = '16' } = await client.configGet('databases');
  const info = await client.info('keyspace');
  const taken = new Set(info.names(/^db\d+$/));
  // The highest ones are the least used.
  for (let db = Number(databases) - 1; db >= 0; db--) {
    if (!taken.has(`db${db.toString()}`)) return db;
  }
  throw new NodeError('TM_NODE_REPLY', 'no database of the scratch server is free', {
    context: { databases: Number(databases) },
  });
}
