import type { Info, NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';

/** How the data got onto the target's own disk; `none`: it keeps nothing there. */
export type Persisted = 'aof' | 'rdb' | 'none';

/** How long to wait for the target's own writing. */
export interface PersistOptions {
  readonly clock: Clock;
  /** Default 3,600,000 ms. */
  readonly timeoutMs?: number;
}

const POLL_MS = 100;
const BUSY = /already in progress|child process|background save/i;

/**
 * Has the target write its data to its own disk, as its settings say: an AOF is rewritten, else an
 * RDB is saved when it has save points. Else its disk would hold the state before the restore, or
 * the snapshot without the commands after it.
 * @throws NodeError `TM_TARGET_SETTING` when the target fails to write; the data in memory is whole.
 */
export async function persistTarget(
  client: NodeClient,
  options: PersistOptions,
): Promise<Persisted> {
  const [{ appendonly }, { save }] = [
    await client.configGet('appendonly'),
    await client.configGet('save'),
  ];
  if (appendonly === 'yes') {
    await write(client, 'BGREWRITEAOF', 'aof_last_bgrewrite_status', options);
    return 'aof';
  }
  if ((save ?? '') !== '') {
    await write(client, 'BGSAVE', 'rdb_last_bgsave_status', options);
    return 'rdb';
  }
  return 'none';
}

async function write(
  client: NodeClient,
  command: string,
  status: string,
  { clock, timeoutMs = 3_600_000 }: PersistOptions,
): Promise<void> {
  const endMs = clock.monotonicMs() + timeoutMs;
  await idle(client, clock, endMs);
  for (;;) {
    const [reply] = await client.pipeline([[command]]);
    if (!(reply instanceof NodeError)) break;
    // A save point may have fired in between.
    if (!BUSY.test(String(reply.context.reply))) throw reply;
    await clock.sleep(POLL_MS);
    await idle(client, clock, endMs);
  }
  const info = await idle(client, clock, endMs);
  if (info.get(status) === 'ok') return;
  throw failure('the target could not write its data to its disk', command);
}

/** Waits until no child of the server writes. */
async function idle(client: NodeClient, clock: Clock, endMs: number): Promise<Info> {
  for (;;) {
    const info = await client.info('persistence');
    const busy = [
      'aof_rewrite_in_progress',
      'aof_rewrite_scheduled',
      'rdb_bgsave_in_progress',
    ].some((name) => info.flag(name));
    if (!busy) return info;
    if (clock.monotonicMs() > endMs) {
      throw failure('the target did not write its data to its disk in time', 'INFO');
    }
    await clock.sleep(POLL_MS);
  }
}

function failure(message: string, command: string): NodeError {
  return new NodeError('TM_TARGET_SETTING', message, {
    context: { command },
    hint: "see the target's log; its data in memory is whole",
  });
}
