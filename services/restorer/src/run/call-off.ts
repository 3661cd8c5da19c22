import { UsageError } from '@tidemark/core';
import { removeFeedFiles } from '../feed-tls/new-server-tls.ts';
import { abandonTarget, parseTargetRecord, readRole } from '../target/index.ts';
import type { RestoreEnvironment } from './environment.ts';
import { removeServerFiles, type OpenTarget } from './open-target.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';

const LEFT_ALONE =
  'the target does not follow this restore (any more): its data were left as they are';

/**
 * Calls a restore off: the target ends empty and not promoted; one that was started for it ends, and
 * its files go.
 * The feed must be closed before.
 * @returns Warnings: what could not be taken back.
 */
export async function callOff(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<readonly string[]> {
  const warnings = await endTarget(record, target, environment);
  const { newDir } = record.target;
  if (warnings.length === 0 && newDir !== null) await removeServerFiles(newDir, environment);
  return warnings;
}

async function endTarget(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<readonly string[]> {
  const ended = await takeBack(record, target, environment);
  const { newDir } = record.target;
  // The keys go also where another server answers by now; what it has in use itself stays.
  if (newDir !== null) await removeFeedFiles(newDir, ended ? null : target.client);
  await RestoreRecords.of(environment).remove(record.id);
  return ended ? [] : [LEFT_ALONE];
}

async function takeBack(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<boolean> {
  const settings = parseTargetRecord(record.settings);
  if (record.target.newDir === null) {
    const { emptied } = await abandonTarget(target.client, {
      record: settings,
      replicationId: record.feed.replicationId,
      host: record.feed.host,
      port: record.feed.port,
      clock: environment.clock,
    });
    return emptied;
  }
  if (target.server !== null) {
    await target.server.kill();
    return true;
  }
  // Found again by its port alone: by now somebody else's server may listen there, or clients use it.
  const { runId, role, formerId } = await readRole(target.client);
  if (runId !== settings.runId) return false;
  if (role === 'master' && formerId === record.feed.replicationId) return false;
  // It answers with the end of the connection.
  await target.client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
  return true;
}

/**
 * Whether nobody has gone on with the restore meanwhile: a process that was frozen for long may find it
 * done, and its target in use, or another feed there.
 */
async function isStillOurs(
  { id, feed }: RestoreRecord,
  environment: RestoreEnvironment,
): Promise<boolean> {
  try {
    const kept = await RestoreRecords.of(environment).read(id);
    // One whose feed does not listen yet has no port.
    return [feed.port, 0].includes(kept.feed.port);
  } catch (cause) {
    if (cause instanceof UsageError && cause.code === 'TM_NOT_FOUND') return false;
    throw cause;
  }
}

/**
 * Calls a failed restore off as far as that is possible; the first fault is what is reported. The log
 * of a server that was started for it stays, unless the user has ended the restore.
 */
export async function giveUp(
  record: RestoreRecord,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<void> {
  try {
    if (!(await isStillOurs(record, environment))) return;
    const end = environment.signal.aborted ? callOff : endTarget;
    await end(record, target, environment);
  } catch {
    // The record stays: `restore --abort` finishes this when the target answers again.
  }
}
