import {
  checkRights,
  commandName,
  connectNode,
  readNodeFacts,
  type NodeClient,
} from '@tidemark/client';
import { NodeError } from '@tidemark/core';

const OLDEST_VERSION = 60_000;

/** What a capture by replication runs; samples are transactions. */
const COMMANDS = [['PING'], ['INFO'], ['TIME'], ['MULTI'], ['EXEC'], ['DISCARD']] as const;

/**
 * Checks that a node can be captured by replication.
 * @throws NodeError `TM_NODE_VERSION`, `TM_NODE_RIGHTS`.
 */
export async function checkPsyncNode(
  client: NodeClient,
): Promise<Awaited<ReturnType<typeof readNodeFacts>>> {
  const facts = await readNodeFacts(client);
  if (facts.versionNumber < OLDEST_VERSION) {
    throw new NodeError('TM_NODE_VERSION', `${facts.product} ${facts.version} is too old`, {
      hint: 'capture by replication needs Redis 6.0 or newer, or Valkey',
    });
  }
  const denied = await deniedReplication(client);
  const missing = [...denied, ...(await checkRights(client, COMMANDS)).map(commandName)];
  if (missing.length > 0) {
    throw new NodeError('TM_NODE_RIGHTS', `the user may not run ${missing.join(', ')}`, {
      hint: 'tidemark instance add --print-acl --source psync prints the ACL SETUSER line; docs/acl.md says more',
    });
  }
  return facts;
}

/**
 * Which commands of a replica the user may not run, or the server does not know.
 *
 * They cannot be queued in a transaction. PSYNC in one write behind another command is refused,
 * since that one's answer is not sent yet, but only after the rights were checked (redis
 * src/replication.c, `syncCommand`; src/server.c, `processCommand`): no resync begins.
 */
async function deniedReplication({ address }: NodeClient): Promise<readonly string[]> {
  await using client = await connectNode(address);
  const [replconf, , psync] = await client.pipeline([
    ['REPLCONF', 'capa', 'eof'],
    ['PING'],
    ['PSYNC', '?', '-1'],
  ]);
  const isDenied = (answer: unknown): boolean =>
    answer instanceof NodeError &&
    (answer.code === 'TM_NODE_RIGHTS' || /unknown command/i.test(answer.message));
  return [...(isDenied(psync) ? ['PSYNC'] : []), ...(isDenied(replconf) ? ['REPLCONF'] : [])];
}
