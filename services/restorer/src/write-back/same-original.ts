import { connectNode, readNodeFacts, type NodeClient, type NodeFacts } from '@tidemark/client';
import { PlanError } from '@tidemark/core';
import type { SparedServer } from '../preview/preview.ts';

/** A server that is written to. */
interface Written {
  readonly live: SparedServer;
  readonly facts: Pick<NodeFacts, 'runId'>;
  readonly signal: AbortSignal;
}

/**
 * Looks whether what is compared and what is written to is one server: a name may stand for several.
 * @throws PlanError `TM_WRITE_TARGET`; NodeError.
 */
export async function requireOneServer(
  compared: NodeClient,
  { runId }: Pick<NodeFacts, 'runId'>,
): Promise<void> {
  const other = (await compared.info('server')).get('run_id') ?? '';
  if (other === runId) return;
  throw new PlanError('TM_WRITE_TARGET', 'two connections to the original reach two servers', {
    context: { runId, other },
    hint: 'name one server in [[instance]] of the configuration, or its Sentinels',
  });
}

/**
 * Asks once more where the original is, when everything is written: a server that was frozen or cut off takes
 * writes also after another one was promoted in its place, and loses them when it follows that one.
 * @returns Why what was written is not where it is to be; null when it is.
 */
export async function lostOriginal({ live, facts, signal }: Written): Promise<Error | null> {
  if (live.locate === undefined) return null;
  try {
    const address = await live.locate();
    try {
      await using client = await connectNode(address, { signal, name: 'tidemark-write' });
      const { runId, role } = await readNodeFacts(client);
      return runId === facts.runId && role !== 'replica' ? null : anotherOne(facts.runId, runId);
    } finally {
      address.tls?.[Symbol.dispose]();
    }
  } catch (cause) {
    return cause instanceof Error ? cause : new Error('the original cannot be found', { cause });
  }
}

function anotherOne(runId: string, other: string): PlanError {
  return new PlanError(
    'TM_WRITE_TARGET',
    'another server took the place of the original meanwhile',
    {
      context: { runId, other },
      hint: 'what was written may be lost with the server that it was written to: go on with --resume, or start again; keys that are as they are to be are left',
    },
  );
}
