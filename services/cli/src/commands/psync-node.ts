import { checkRights, commandName, readNodeFacts, type NodeClient } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';

const OLDEST_VERSION = 60_000;

/** What a capture by replication runs; samples are transactions. */
const COMMANDS = [
  ['PSYNC', '?', '-1'],
  ['REPLCONF', 'capa', 'eof'],
  ['PING'],
  ['INFO'],
  ['TIME'],
  ['MULTI'],
  ['EXEC'],
  ['DISCARD'],
] as const;

/** Flags of `instance add` that belong to the append-only files. */
export interface AofFlags {
  readonly aofDir?: string;
  readonly hold: boolean;
}

/** @throws UsageError `TM_USAGE` for flags that do not go with `--source psync`. */
export function refuseAofFlags({ aofDir, hold }: AofFlags): void {
  const flag = aofDir !== undefined ? '--aof-dir' : hold ? '--hold' : null;
  if (flag === null) return;
  throw new UsageError('TM_USAGE', `${flag} does not go with --source psync`, {
    hint: 'a capture by replication reads no files of the node',
  });
}

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
  const missing = await checkRights(client, COMMANDS);
  if (missing.length > 0) {
    throw new NodeError(
      'TM_NODE_RIGHTS',
      `the user may not run ${missing.map(commandName).join(', ')}`,
      { hint: 'the rule for a user that captures by replication stands in docs/acl.md' },
    );
  }
  return facts;
}
