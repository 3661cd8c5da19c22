import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openTimelineOf } from './capture/open-timeline.ts';
import { openLog, type CaptureSetting } from './open-capture.ts';
import { readOwnerId } from './owner-id.ts';
import { SpoolLock } from './ship/spool-lock.ts';

/** What a log is closed with. */
export type CloseSetting = Pick<
  CaptureSetting,
  'stateDir' | 'store' | 'keys' | 'clock' | 'random' | 'takeOver'
> & { readonly heartbeatMs: number };

/**
 * Closes the timeline of an instance that no capture runs for, with the reason `detached`, at its
 * durable end. Nothing happens when none is open.
 * @throws CatalogError `TM_LOG_OWNER` when another archiver owns the log; StoreError.
 */
export async function closeDetached(
  iid: string,
  ownerId: string,
  setting: CloseSetting,
): Promise<void> {
  const { takeOver, heartbeatMs, clock } = setting;
  const { log } = await openLog(iid, setting);
  if (openTimelineOf(log.state) === null) return;
  await log.claim({ ownerId, takeOver, heartbeatMs });
  const open = openTimelineOf(log.state);
  if (open !== null) {
    const { timeline, end: offset, provenTo } = open;
    const detail = 'the instance was removed';
    const atMs = clock.nowMs();
    await log.append({
      type: 'TimelineClosed',
      reason: 'detached',
      ...{ timeline, offset, provenTo, detail, atMs },
    });
  }
  const generation = log.state.owner?.generation ?? 0;
  await log.append({ type: 'Released', generation, atMs: clock.nowMs() });
}

/**
 * As `closeDetached`, as the owner that the archiver of this state folder would be.
 * @throws CatalogError `TM_LOG_OWNER` also while an archiver runs here.
 */
export async function detachOffline(iid: string, setting: CloseSetting): Promise<void> {
  const spoolDir = join(setting.stateDir, 'spool');
  await mkdir(spoolDir, { recursive: true, mode: 0o700 });
  using _lock = new SpoolLock(join(spoolDir, 'lock.db'));
  await closeDetached(iid, await readOwnerId(join(spoolDir, 'owner'), setting), setting);
}
