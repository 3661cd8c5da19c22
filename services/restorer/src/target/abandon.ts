import type { NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';
import { persistTarget } from './persist.ts';
import { followsNobody } from './detach.ts';
import { parseVersionOf, readRole, type RoleFacts } from './role.ts';
import { restoreSettings } from './settings.ts';
import { FUNCTIONS_FROM } from './target-facts.ts';
import type { TargetRecord } from './target-record.ts';

/** What is to be taken back. */
export interface AbandonOptions {
  readonly record: TargetRecord;
  readonly replicationId: string;
  /** The feed as the target knows it (`REPLICAOF host port`). */
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  /** For loading to end. Default 60,000 ms. */
  readonly timeoutMs?: number;
}

/** What became of the target. */
export interface Abandoned {
  /** `false`: it had not been attached, or had been promoted already; its data were left alone. */
  readonly emptied: boolean;
  readonly foreignSettings: readonly string[];
}

const POLL_MS = 50;

/**
 * Calls a replay off: the target ends empty, a master of its own, with its own settings.
 *
 * Dispose the feed first. With the link down and `replica-serve-stale-data no` the target answers no
 * reads; it is emptied in the same write that makes it answer again, and promoted after that. So at
 * no moment can a client read half a dataset. A target that follows somebody else, or was promoted,
 * is not emptied.
 * @throws NodeError `TM_TARGET_LOST` when it cannot be emptied; it then still answers nothing.
 */
export async function abandonTarget(
  client: NodeClient,
  options: AbandonOptions,
): Promise<Abandoned> {
  const { record } = options;
  const role = await settled(client, options);
  const emptied = isOurs(role, options);
  if (emptied) await empty(client);
  const foreignSettings = await restoreSettings(client, record);
  if (emptied) {
    // Its disk may hold the snapshot by now (an AOF begins with it).
    await persistTarget(client, { clock: options.clock }).catch(() => 'none');
  }
  return { emptied, foreignSettings };
}

function isOurs(role: RoleFacts, options: AbandonOptions): boolean {
  if (role.role === 'master') return false;
  return (
    role.replicationId === options.replicationId ||
    // Taken off the feed, and told another id before that.
    (followsNobody(role) && role.formerId === options.replicationId) ||
    (role.masterHost === options.host && role.masterPort === options.port)
  );
}

/** Waits until the target does not load any more. */
async function settled(client: NodeClient, options: AbandonOptions): Promise<RoleFacts> {
  const { clock, timeoutMs = 60_000 } = options;
  const endMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const role = await readRole(client);
    if (!role.loading) return role;
    if (clock.monotonicMs() > endMs) {
      throw new NodeError('TM_TARGET_LOST', 'the target does not end loading', {
        hint: 'is the feed closed',
      });
    }
    await clock.sleep(POLL_MS);
  }
}

async function empty(client: NodeClient): Promise<void> {
  const info = await client.info('server');
  const functions = parseVersionOf(info) >= FUNCTIONS_FROM;
  const replies = await client.pipeline([
    ['CONFIG', 'SET', 'replica-serve-stale-data', 'no'],
    ['CONFIG', 'SET', 'replica-read-only', 'no'],
    // One write: the server runs these without another client in between.
    ['CONFIG', 'SET', 'replica-serve-stale-data', 'yes'],
    ['FLUSHALL', 'ASYNC'],
    ...(functions ? [['FUNCTION', 'FLUSH', 'ASYNC']] : []),
    ['CONFIG', 'SET', 'replica-read-only', 'yes'],
  ]);
  const refused = replies.find((reply) => reply instanceof Error);
  if (refused !== undefined) {
    await client.pipeline([['CONFIG', 'SET', 'replica-serve-stale-data', 'no']]);
    throw new NodeError('TM_TARGET_LOST', 'the target could not be emptied', { cause: refused });
  }
  await client.call('REPLICAOF', 'NO', 'ONE');
}
