import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '@tidemark/core';
import { readOwnerId } from '../owner-id.ts';
import { Spool } from '../ship/spool.ts';
import { SpoolLock } from '../ship/spool-lock.ts';
import type { OneOffBackup, OneOffEnvironment, OneOffRequest } from './one-off-options.ts';
import { OneOffRun } from './one-off-run.ts';

/**
 * Makes a sealed backup of a running server over replication, once: the RDB is scanned and sealed as
 * it comes, and nothing unsealed touches a disk. It stands in a timeline of its own, which is closed
 * behind it and proves no second.
 *
 * When it fails or is called off no backup is there, the log is released and the spool is empty; what
 * a kill leaves is swept by the next one. Memory does not grow with the dataset.
 * @throws TidemarkError `TM_BUSY` while another one of the instance is made on this host, `TM_SPOOL`;
 *   CatalogError `TM_LOG_OWNER` for an instance that is captured; NodeError as `dialNode`,
 *   `openReplicaLink`; FormatError, IntegrityError as `passRdb`; StoreError; KeyError; what `mayCopy`
 *   throws; the signal's reason.
 */
export async function makeOneOffBackup(
  request: OneOffRequest,
  environment: OneOffEnvironment,
): Promise<OneOffBackup> {
  const { stateDir, spoolBytesMax } = environment;
  const dir = join(stateDir, 'spool', `${request.instance}.dump`);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  using _lock = lockFolder(dir, request.instance);
  const spoolId = await readOwnerId(join(dir, 'owner'), environment);
  const spool = await emptySpool(dir, spoolBytesMax); // of one that was killed
  const run = new OneOffRun(request, spoolId, spool, environment);
  try {
    return await run.run();
  } finally {
    await run.end();
    await emptySpool(dir, spoolBytesMax).catch(() => undefined); // else the next one does it
  }
}

function lockFolder(dir: string, iid: string): SpoolLock {
  try {
    return new SpoolLock(join(dir, 'lock.db'));
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || cause.code !== 'TM_LOG_OWNER') throw cause;
    throw new TidemarkError('TM_BUSY', `a one-off backup of ${iid} is being made on this host`, {
      context: { iid },
      hint: 'wait until it is done',
      cause,
    });
  }
}

/** Opening it takes away what was never finished. */
async function emptySpool(dir: string, bytesMax: number): Promise<Spool> {
  const spool = await Spool.open(dir, bytesMax);
  for (const name of await spool.names()) await spool.remove(name);
  return spool;
}
