import { NodeError } from '@tidemark/core';
import type { NodeClient } from './node-client.ts';

/** A command as it will be used, with arguments of the right number; nothing of it is executed. */
export type WantedCommand = readonly string[];

/** Commands whose first argument is a command of its own to the access rules. */
const CONTAINERS = new Set(['ACL', 'CLIENT', 'CONFIG', 'FUNCTION', 'MEMORY', 'MODULE', 'PUBSUB']);

/** The command as access rules name it: `CONFIG GET`, `FLUSHALL`. */
export function commandName([name = '', sub = '']: WantedCommand): string {
  return CONTAINERS.has(name) ? `${name} ${sub}` : name;
}

/** Commands that act at once even in a transaction, so that they cannot be tried. */
const NEVER_QUEUED = new Set(['DISCARD', 'EXEC', 'MULTI', 'QUIT', 'RESET', 'UNWATCH', 'WATCH']);

/**
 * Finds the commands that the user of this connection may not run, and those that the server does
 * not know. Nothing is executed.
 *
 * It asks ACL DRYRUN (7.0 and later). Where the user may not ask that, the commands are queued in a
 * transaction that is discarded: the server checks rights when it queues; EXEC is tried on an empty
 * one. What can be found in neither way (PSYNC before 7.0) counts as allowed.
 * @returns The missing ones, in the order given.
 * @throws NodeError `TM_NODE_UNREACHABLE`, `TM_NODE_AUTH`.
 */
export async function checkRights(
  client: NodeClient,
  commands: readonly WantedCommand[],
): Promise<readonly WantedCommand[]> {
  if (commands.length === 0) return [];
  const [user] = await client.pipeline([['ACL', 'WHOAMI']]);
  if (typeof user === 'string') {
    const answers = await client.pipeline(
      commands.map((words) => ['ACL', 'DRYRUN', user, ...words]),
    );
    if (answers.every((answer) => answer === 'OK' || isVerdict(answer))) {
      return commands.filter((_, i) => answers[i] !== 'OK');
    }
  }
  return tryQueued(client, commands);
}

/** The server's own opinion on the command, as opposed to a refusal of ACL DRYRUN itself. */
function isVerdict(answer: unknown): boolean {
  if (typeof answer === 'string') return true;
  return (
    answer instanceof NodeError &&
    answer.code === 'TM_NODE_REPLY' &&
    /^ERR Command '.*' not found/.test(String(answer.context.reply))
  );
}

async function tryQueued(
  client: NodeClient,
  commands: readonly WantedCommand[],
): Promise<readonly WantedCommand[]> {
  // Without a transaction the commands would run: make sure that it may be opened and discarded.
  for (const answer of await client.pipeline([['MULTI'], ['DISCARD']])) {
    if (answer instanceof Error) throw answer;
  }
  const tried = commands.filter(([name = '']) => !NEVER_QUEUED.has(name.toUpperCase()));
  const answers = await client.pipeline([['MULTI'], ...tried, ['DISCARD']]);
  const missing = new Set(tried.filter((_, i) => isMissing(answers[i + 1])));
  for (const words of commands.filter(([name = '']) => name.toUpperCase() === 'EXEC')) {
    const [, answer] = await client.pipeline([['MULTI'], ['EXEC'], ['DISCARD']]);
    if (isMissing(answer)) missing.add(words);
  }
  return commands.filter((words) => missing.has(words));
}

function isMissing(answer: unknown): boolean {
  if (!(answer instanceof NodeError)) return false;
  return answer.code === 'TM_NODE_RIGHTS' || isUnknown(answer) || isDeniedExec(answer);
}

/** EXEC answers its own refusal as that of the transaction. */
function isDeniedExec(error: NodeError): boolean {
  return /^EXECABORT .*NOPERM/.test(String(error.context.reply));
}

function isUnknown(error: NodeError): boolean {
  return /^ERR unknown (sub)?command/i.test(String(error.context.reply));
}
