import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openInstanceLog, openWriterLog, type InstanceLog } from '@tidemark/catalog';
import { isLost } from './capture/follows-log.ts';
import { openTimelineOf } from './capture/open-timeline.ts';
import type { SourceKind } from './capture/capture-source.ts';
import { SHARD, spoolDirOf, wireDirOf, writersOf } from './instance-writers.ts';
import type { CaptureSetting } from './open-capture.ts';
import { readOwnerId } from './owner-id.ts';
import { shipLeft } from './ship/ship-left.ts';
import { SpoolLock } from './ship/spool-lock.ts';

type Ports = Pick<CaptureSetting, 'store' | 'keys' | 'clock' | 'random' | 'takeOver' | 'stateDir'>;

/** What a log is closed with. */
export interface CloseSetting extends Ports {
  readonly heartbeatMs: number;
}

/** The writer whose timeline is closed, and why. */
interface Closing {
  readonly iid: string;
  readonly writer: string;
  readonly source: SourceKind;
  readonly ownerId: string;
  readonly detail: string;
  readonly heartbeatMs: number;
}

/**
 * Closes the timelines of an instance that no capture runs for, with the reason `detached`, at their
 * durable ends. Nothing happens when none is open.
 * @throws CatalogError `TM_LOG_OWNER` when another archiver owns the log; StoreError.
 */
export async function closeDetached(
  iid: string,
  ownerId: string,
  setting: CloseSetting,
): Promise<void> {
  const { store, keys, clock, random, heartbeatMs } = setting;
  const logKey = await keys.logKey(iid);
  const log = await openInstanceLog({ store, iid, logKey, clock, random });
  const detail = 'the instance was removed';
  for (const { writer, source } of writersOf(log)) {
    await closeOne({ iid, writer, source, ownerId, detail, heartbeatMs }, setting);
  }
}

/**
 * Closes what another source of the same instance has left open: the source was changed. A log that
 * another archiver owns is left alone: it captures there.
 * @param instance - `kept`: the writer that stays.
 */
export async function closeOtherSources(
  instance: {
    readonly iid: string;
    readonly log: InstanceLog;
    readonly kept: string;
    readonly ownerId: string;
  },
  setting: Ports & Pick<CaptureSetting, 'limits'>,
): Promise<void> {
  const { iid, log, kept, ownerId } = instance;
  const { heartbeatMs } = setting.limits;
  const detail = 'the source of the capture was changed';
  for (const { writer, source } of writersOf(log)) {
    if (writer === kept) continue;
    try {
      await closeOne({ iid, writer, source, ownerId, detail, heartbeatMs }, setting);
    } catch (cause) {
      if (!isLost(cause)) throw cause;
    }
  }
}

/** What a run that was killed left in the spool is brought into the log before. */
async function closeOne(
  { iid, writer, source, ownerId, detail, heartbeatMs }: Closing,
  { store, keys, clock, random, takeOver, stateDir }: Ports,
): Promise<void> {
  const logKey = await keys.logKey(iid);
  const log = await openWriterLog({ store, iid, shard: SHARD, writer, logKey, clock, random });
  if (openTimelineOf(log.state) === null) return;
  const before = log.state.owner;
  await log.claim({ ownerId, takeOver, heartbeatMs });
  const dir = spoolDirOf(iid, source, stateDir);
  await shipLeft({ dir, instance: iid, log, ownerId, before, store, keys, clock });
  const open = openTimelineOf(log.state);
  if (open !== null) {
    const { timeline, end: offset, provenTo } = open;
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
  await dropWire(iid, setting.stateDir);
}

/** Nobody will go on with what came by replication. */
export async function dropWire(iid: string, stateDir: string): Promise<void> {
  const dir = wireDirOf(iid, stateDir);
  for (const path of [dir, `${dir}.resync`]) await rm(path, { recursive: true, force: true });
}
