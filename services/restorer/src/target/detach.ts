import type { NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';
import { newFailures, readFailures } from './command-failures.ts';
import { readRole, type RoleFacts } from './role.ts';
import { restoreSettings } from './settings.ts';
import type { TargetRecord } from './target-record.ts';

/** A replica of this dials nobody: nothing can listen on port 0. */
const NOWHERE = { host: '127.0.0.1', port: 0 } as const;

/** Settings that a target which waits for its promotion has no need of. */
const NO_LONGER: readonly string[] = [
  'replica-serve-stale-data',
  'tls-ca-cert-file',
  'masterauth',
  'masteruser',
];

const POLL_MS = 10;
const APPLIED_MS = 30_000;

/** What a target must hold when all was replayed. */
export interface Replayed {
  readonly record: TargetRecord;
  readonly replicationId: string;
  /** Replication offset after the last byte that the feed sent; the target's own is exactly this. */
  readonly offset: bigint;
}

/** Whether a server is a replica of nobody that can be. */
export function followsNobody({ role, masterHost, masterPort }: RoleFacts): boolean {
  return role === 'replica' && masterHost === NOWHERE.host && masterPort === NOWHERE.port;
}

/**
 * Waits until the target has applied the last byte of the feed, and checks that it holds all of the
 * replay and nothing else.
 * @throws NodeError `TM_TARGET_REPLAY`, `TM_TARGET_LOST`.
 */
export async function checkReplay(
  client: NodeClient,
  wanted: Replayed,
  clock: Clock | null = null,
): Promise<void> {
  let role = await readRole(client);
  if (clock !== null) {
    // The feed asks for an acknowledgement at its end: that request counts, and comes last.
    const endMs = clock.monotonicMs() + APPLIED_MS;
    while (isOn(role, wanted) && role.offset < wanted.offset && clock.monotonicMs() < endMs) {
      await clock.sleep(POLL_MS);
      role = await readRole(client);
    }
  }
  if (role.runId !== wanted.record.runId) {
    throw new NodeError('TM_TARGET_LOST', 'the target was restarted during the replay');
  }
  if (!isOn(role, wanted) || role.offset !== wanted.offset) {
    throw new NodeError(
      'TM_TARGET_LOST',
      'the target no longer holds what was fed, and only that',
      {
        context: { role: role.role, offset: role.offset, wanted: wanted.offset },
        hint: 'did somebody else run REPLICAOF on it, or feed it',
      },
    );
  }
  await checkRefusals(client, wanted.record);
}

function isOn({ role, runId, replicationId }: RoleFacts, wanted: Replayed): boolean {
  return (
    role === 'replica' && runId === wanted.record.runId && replicationId === wanted.replicationId
  );
}

async function checkRefusals(
  client: NodeClient,
  { unexpectedErrors, failures }: TargetRecord,
): Promise<void> {
  if (unexpectedErrors === null) return;
  const errors = (await client.info('stats')).number('unexpected_error_replies', unexpectedErrors);
  if (errors === unexpectedErrors) return;
  const refused = errors - unexpectedErrors;
  const commands = newFailures(failures, await readFailures(client));
  throw new NodeError(
    'TM_TARGET_REPLAY',
    `the target refused ${String(refused)} commands of the replay` +
      (commands === '' ? '' : ` (failed on it meanwhile: ${commands})`),
    { context: { refused, commands }, hint: "the target's log names them" },
  );
}

/**
 * Takes a target off its feed. It stays a replica, with its data, its replication id and its offset:
 * nothing expires and nothing is evicted. But it follows nobody. One that went on dialling a feed which
 * is closed would hand the one-time password to whoever listens on that port next, and take commands
 * from him.
 *
 * Only then settings of its own come back. It can be called again.
 * @throws NodeError `TM_TARGET_REPLAY`; `TM_TARGET_LOST` when it holds anything but the replay, also
 *   what came at the last moment; `TM_TARGET_SETTING`.
 */
export async function detachTarget(client: NodeClient, wanted: Replayed): Promise<void> {
  // Else a server that somebody else steers by now would be taken from him.
  await checkReplay(client, wanted);
  await client.call('REPLICAOF', NOWHERE.host, NOWHERE.port);
  await checkReplay(client, wanted);
  if (!followsNobody(await readRole(client))) {
    throw new NodeError('TM_TARGET_LOST', 'the target follows somebody else', {
      hint: 'did somebody else run REPLICAOF on it',
    });
  }
  await restoreSettings(client, wanted.record, NO_LONGER);
}
