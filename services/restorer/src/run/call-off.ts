import { abandonTarget, parseTargetRecord } from '../target/index.ts';
import type { RestoreEnvironment } from './environment.ts';
import type { OpenTarget } from './open-target.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';

/**
 * Calls a restore off: the target ends empty and not promoted; one that was started for it ends.
 * The feed must be closed before.
 */
export async function callOff(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<void> {
  if (record.target.newDir === null) {
    await abandonTarget(target.client, {
      record: parseTargetRecord(record.settings),
      replicationId: record.feed.replicationId,
      host: record.feed.host,
      port: record.feed.port,
      clock: environment.clock,
    });
  } else if (target.server !== null) {
    await target.server.kill();
  } else {
    // It answers with the end of the connection.
    await target.client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
  }
  await new RestoreRecords(environment.stateDir).remove(record.id);
}

/** Calls a failed restore off as far as that is possible; the first fault is what is reported. */
export async function giveUp(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<void> {
  try {
    await callOff(record, target, environment);
  } catch {
    // The record stays: `restore --abort` finishes this when the target answers again.
  }
}
