import { checkRights, commandName, type NodeClient } from '@tidemark/client';
import { NodeError, PlanError } from '@tidemark/core';
import { isoSecond } from '../run/restore-report.ts';
import type { FactsReport, FactsWish } from './facts-report.ts';
import type { OpenedFacts } from './open-facts.ts';
import { writeAcl } from './write-acl.ts';
import { writeConfig } from './write-config.ts';

/**
 * Refuses facts that do not hold what is to be written: a restore that leaves the ACL away must not
 * look like one that has it.
 * @throws PlanError `TM_NOT_FOUND`.
 */
export function refuseUnread({ facts, takenMs }: OpenedFacts, wish: FactsWish): void {
  const part =
    wish.acl && facts.acl === null ? 'acl' : wish.config && facts.config === null ? 'config' : null;
  if (part === null) return;
  const code = facts.unread.find((one) => one.part === part)?.code ?? 'unknown';
  throw new PlanError('TM_NOT_FOUND', `the ${part} of the node was not stored at that time`, {
    context: { part, code, takenMs },
    hint: 'the user that captures may not have read it: docs/acl.md names the rights',
  });
}

/**
 * Looks whether the user on the target may write what is wished.
 * @throws NodeError `TM_NODE_RIGHTS` with the commands.
 */
export async function preflightFacts(client: NodeClient, wish: FactsWish): Promise<void> {
  const denied = await checkRights(client, [
    ...(wish.acl
      ? [
          ['ACL', 'WHOAMI'],
          ['ACL', 'LIST'],
          ['ACL', 'SETUSER', 'tidemark-trial'],
        ]
      : []),
    ...(wish.config
      ? [
          ['CONFIG', 'GET', '*'],
          ['CONFIG', 'SET', 'timeout', '0'],
        ]
      : []),
  ]);
  if (denied.length === 0) return;
  const names = denied.map(commandName).join(', ');
  throw new NodeError('TM_NODE_RIGHTS', `the target denies ${names}`, {
    context: { commands: names },
    hint: 'connect with a user that may run them, or leave --with-acl and --with-config away',
  });
}

/** What would be written on a target; nothing is. */
export async function planFacts(
  opened: OpenedFacts,
  wish: FactsWish,
  client: NodeClient | null,
): Promise<FactsReport> {
  const { facts } = opened;
  const { defaultUser } = wish;
  const comparable = client !== null;
  return factsReport(opened, {
    acl:
      wish.acl && comparable ? await writeAcl(facts, client, { defaultUser, write: false }) : null,
    config: wish.config && comparable ? await writeConfig(facts, client, false) : null,
  });
}

/** The report of what was done with facts. */
export function factsReport(
  { facts, takenMs }: OpenedFacts,
  parts: Pick<FactsReport, 'acl' | 'config'>,
): FactsReport {
  const taken = isoSecond(takenMs) ?? '';
  return { taken, node: `${facts.product} ${facts.version}`, ...parts };
}
