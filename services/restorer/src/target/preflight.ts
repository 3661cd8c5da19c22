import { checkRights, commandName, type NodeClient, type WantedCommand } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { findRefusals, type TargetNeeds } from './refusals.ts';
import { FUNCTIONS_FROM, readTargetFacts, type TargetFacts } from './target-facts.ts';

/** Of `trimTarget`. */
const TRIM_COMMANDS: readonly WantedCommand[] = [
  ['UNLINK', 'tidemark'],
  ['TYPE', 'tidemark'],
  ['DBSIZE'],
  ['FLUSHDB'],
];

/** Commands that a restore uses on its target, also when it has to be called off. */
function commandsNeeded(facts: TargetFacts, trims: boolean): readonly WantedCommand[] {
  return [
    ['INFO'],
    ['CONFIG', 'GET', 'repl-timeout'],
    ['CONFIG', 'SET', 'repl-timeout', '60'],
    ['REPLICAOF', 'NO', 'ONE'],
    ['MULTI'],
    ['EXEC'],
    ['SELECT', '0'],
    // To tell which keys vanish at the promotion; of any name.
    ['SCAN', '0'],
    ['EXISTS', 'tidemark'],
    ['MEMORY', 'USAGE', 'tidemark'],
    ['FLUSHALL'],
    ...(trims ? TRIM_COMMANDS : []),
    ...(facts.versionNumber >= FUNCTIONS_FROM
      ? [
          ['FUNCTION', 'LIST'],
          ['FUNCTION', 'FLUSH'],
        ]
      : []),
    ...(facts.appendonly ? [['BGREWRITEAOF']] : []),
    ...(!facts.appendonly && facts.save !== '' ? [['BGSAVE']] : []),
  ];
}

/**
 * Looks whether a server can take a restore, before anything is sent to it. Changes nothing.
 * @returns What was found, for the report and for the steps that follow.
 * @throws PlanError `TM_TARGET_NOT_EMPTY` (exit 15), `TM_TARGET_REPLICAS`, `TM_TARGET_CLUSTER`,
 *   `TM_TARGET_DATABASES`, `TM_TARGET_RDB_VERSION`, `TM_TARGET_MODULES`, `TM_TARGET_MEMORY`,
 *   `TM_TARGET_SETTING`, `TM_NODE_VERSION`; NodeError `TM_NODE_RIGHTS` with the commands that are
 *   denied, `TM_NODE_UNREACHABLE` also while the server loads its own data.
 */
export async function preflightTarget(
  client: NodeClient,
  needs: TargetNeeds,
): Promise<TargetFacts> {
  const facts = await readTargetFacts(client);
  if (facts.loading) {
    throw new NodeError('TM_NODE_UNREACHABLE', 'the target is still loading its own data', {
      hint: 'wait until it is done',
    });
  }
  // Rights first: without CONFIG GET some facts are not known.
  const denied = await checkRights(client, commandsNeeded(facts, needs.trims ?? false));
  if (denied.length > 0) {
    const names = denied.map(commandName);
    throw new NodeError('TM_NODE_RIGHTS', `the target denies ${names.join(', ')}`, {
      context: { commands: names.join(',') },
      hint: 'connect with a user that may run them (ACL SETUSER); docs/acl.md has the whole rule',
    });
  }
  const [refusal] = findRefusals(facts, needs);
  if (refusal !== undefined) throw refusal;
  return facts;
}
