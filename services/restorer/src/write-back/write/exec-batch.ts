import type { Argument, NodeClient } from '@tidemark/client';
import { NodeError, PlanError } from '@tidemark/core';

/** How a transaction ended. */
export type ExecOutcome =
  /** Executed; for each command the error it ended in, or null. */
  | { readonly kind: 'done'; readonly errors: readonly (NodeError | null)[] }
  /** Somebody wrote to a watched key. */
  | { readonly kind: 'touched' }
  /** A command was refused when it was queued; nothing was executed. */
  | { readonly kind: 'refused'; readonly error: NodeError };

/**
 * Runs commands as one transaction on a connection whose keys are watched.
 * @throws NodeError `TM_NODE_UNREACHABLE` when the connection is lost; then nobody knows whether it
 *   was executed. PlanError `TM_TARGET_MEMORY`, `TM_WRITE_TARGET`, NodeError `TM_NODE_RIGHTS` when
 *   the server takes no write now: nothing was executed.
 */
export async function execBatch(
  client: NodeClient,
  db: number,
  commands: readonly (readonly Argument[])[],
): Promise<ExecOutcome> {
  const [selected, ...replies] = await client.pipelineBuffer([
    ['SELECT', db],
    ['MULTI'],
    ...commands,
    ['EXEC'],
  ]);
  if (selected instanceof NodeError) throw selected;
  const exec = replies.at(-1);
  if (exec === null) return { kind: 'touched' };
  const queued = replies.slice(0, -1).find((reply) => reply instanceof NodeError);
  if (exec instanceof NodeError) {
    const error = queued ?? exec;
    throwIfStopped(error);
    return { kind: 'refused', error };
  }
  const errors = (exec as readonly unknown[]).map((reply) => errorOf(reply));
  return { kind: 'done', errors };
}

/** Errors within the reply of EXEC come as errors of the client library. */
function errorOf(reply: unknown): NodeError | null {
  if (!(reply instanceof Error)) return null;
  if (reply instanceof NodeError) return reply;
  return new NodeError('TM_NODE_REPLY', reply.message.slice(0, 300), {
    context: { reply: reply.message.slice(0, 300) },
  });
}

/**
 * Turns an answer that holds for every further write into the error that ends the work.
 * @throws PlanError `TM_TARGET_MEMORY`, `TM_WRITE_TARGET`; NodeError `TM_NODE_RIGHTS`.
 */
export function throwIfStopped(error: NodeError): void {
  if (error.code === 'TM_NODE_RIGHTS' || error.code === 'TM_NODE_UNREACHABLE') throw error;
  const reply = String(error.context.reply ?? error.message);
  const [word = ''] = reply.split(' ', 1);
  if (word === 'OOM') {
    throw new PlanError('TM_TARGET_MEMORY', 'the original has no memory left', {
      cause: error,
      context: { reply },
      hint: 'raise maxmemory on it or free memory, then start again, or go on with --resume',
    });
  }
  const why = STOPPING[word];
  if (why === undefined) return;
  throw new PlanError('TM_WRITE_TARGET', `the original takes no writes: ${why}`, {
    cause: error,
    context: { reply },
    hint: 'mend that, then start again, or go on with --resume',
  });
}

const STOPPING: Readonly<Record<string, string>> = {
  READONLY: 'it is a replica',
  LOADING: 'it is loading its data',
  MISCONF: 'it cannot write to its disk',
  NOREPLICAS: 'it has fewer replicas than min-replicas-to-write asks for',
  BUSY: 'it is busy with a script',
  MASTERDOWN: 'it is a replica without its master',
  CLUSTERDOWN: 'its cluster is down',
  MOVED: 'another node of the cluster has the key',
  ASK: 'the slot of the key is being moved',
};
