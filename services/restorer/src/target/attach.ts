import type { NodeClient } from '@tidemark/client';
import { NodeError, PlanError } from '@tidemark/core';
import { countFunctions } from './target-facts.ts';
import { parseVersionOf, readRole } from './role.ts';
import type { TargetRecord } from './target-record.ts';

/** Where the target is to fetch the data, and what may go. */
export interface AttachOptions {
  readonly record: TargetRecord;
  /** Address and port of the feed as the target reaches it. */
  readonly host: string;
  readonly port: number;
  /** Data of the target may be deleted. */
  readonly allowFlush: boolean;
}

/** Writes of other clients wait this long at most while the target is looked at. */
const PAUSE_MS = 3000;

/**
 * Makes the target a replica of the feed. From then on its data are those of the feed.
 *
 * A target that is not empty is emptied in the same transaction, so that nothing comes between and
 * the snapshot goes from the socket into memory. Whether it is empty is looked at again, with the
 * writes of others held (6.2 and later).
 * @throws PlanError `TM_TARGET_NOT_EMPTY`; NodeError `TM_TARGET_LOST` when it is another process
 *   than before, `TM_TARGET_REPLICAS` when it became a replica meanwhile.
 */
export async function attachTarget(client: NodeClient, options: AttachOptions): Promise<void> {
  const replicaOf = ['REPLICAOF', options.host, options.port];
  if (options.allowFlush) {
    await checkSame(client, options.record);
    const replies = await client.pipeline([['MULTI'], ['FLUSHALL', 'ASYNC'], replicaOf, ['EXEC']]);
    throwFirst(replies);
    return;
  }
  await client.pipeline([['CLIENT', 'PAUSE', PAUSE_MS, 'WRITE']]);
  try {
    await checkSame(client, options.record);
    await checkEmpty(client);
    throwFirst(await client.pipeline([replicaOf]));
  } finally {
    await client.pipeline([['CLIENT', 'UNPAUSE']]);
  }
}

async function checkSame(client: NodeClient, record: TargetRecord): Promise<void> {
  const { role, runId } = await readRole(client);
  if (runId !== record.runId) {
    throw new NodeError('TM_TARGET_LOST', 'the target was restarted since it was looked at');
  }
  if (role !== 'master') {
    throw new NodeError('TM_TARGET_REPLICAS', 'the target became a replica meanwhile');
  }
}

async function checkEmpty(client: NodeClient): Promise<void> {
  const info = await client.info('server', 'keyspace');
  const keys = info
    .names(/^db\d+$/)
    .reduce((sum, name) => sum + Number(info.fields(name).keys ?? 0), 0);
  const functions = await countFunctions(client, parseVersionOf(info));
  if (keys === 0 && functions === 0) return;
  throw new PlanError('TM_TARGET_NOT_EMPTY', `the target holds ${String(keys)} keys by now`, {
    context: { keys, functions },
    hint: 'choose a server that nobody writes to, or say --yes to have it emptied',
  });
}

function throwFirst(replies: readonly unknown[]): void {
  for (const reply of replies) if (reply instanceof Error) throw reply;
}
