import { join } from 'node:path';
import { fixedLocator, type NodeAddress, type NodeLocator } from '@tidemark/client';
import {
  openWriterLog,
  readInstanceRecord,
  type InstanceLog,
  type LogStart,
  type WriterEvent,
  type WriterLog,
} from '@tidemark/catalog';
import { CatalogError, makeId, TidemarkError, type Clock, type Random } from '@tidemark/core';
import { openSpoolKey, type DataKey, type LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { aofOpener } from './capture/aof/aof-source.ts';
import type { CaptureLimits } from './capture/capture-options.ts';
import type { SourceKind, SourceOpener } from './capture/capture-source.ts';
import { NodeCapture } from './capture/node-capture.ts';
import { psyncOpener } from './capture/psync/open-psync.ts';
import { TimelineNoteFile } from './capture/timeline-note.ts';
import { closeOtherSources } from './close-log.ts';
import { isInUse, SHARD, spoolDirOf, wireDirOf, writersOf } from './instance-writers.ts';
import { openKnownLog } from './known-logs.ts';
import { CopyFolder } from './levels/copy-folder.ts';
import type { Logger } from './logger.ts';
import { DataKeys } from './ship/data-keys.ts';
import { MeteredStore, RequestMeter } from './ship/request-meter.ts';
import { dropForeign } from './ship/own-spool.ts';
import { Spool } from './ship/spool.ts';
import type { CaptureKeys } from './tde/capture-keys.ts';
import { tryStore } from './store-trial.ts';
import { TdeDesk } from './tde/tde-desk.ts';

/** One instance to capture. */
export interface InstanceTarget {
  readonly id: string;
  readonly address: NodeAddress;
  /** Follows the node when it moves; called once for each capture. Default: it stays at `address`. */
  readonly locator?: () => NodeLocator;
  /** Folder of the append-only files; absent: the node is captured by replication. */
  readonly aofDir?: string;
  /** The server keeps history files until they are archived (`aof-disable-auto-gc`), with consent. */
  readonly hold?: boolean;
}

/** An instance whose passwords and certificates are read when its capture is begun. */
export interface UnreadInstance {
  readonly id: string;
  /**
   * Called again, after a pause, until it succeeds; then no more.
   * @throws TidemarkError for what cannot be read or used.
   */
  readonly read: () => Promise<InstanceTarget>;
}

/** What captures of an archiver share. */
export interface CaptureSetting {
  readonly stateDir: string;
  readonly spoolBytesMax: number;
  readonly limits: CaptureLimits;
  readonly takeOver: boolean;
  /** The owner of the log was seen to show no life: it is deposed, whatever the clocks say. */
  readonly ownerIsGone?: boolean;
  /** What was read of the writer log while its turn was waited for. */
  readonly readSoFar?: LogStart | null;
  readonly store: ObjectStore;
  readonly keys: CaptureKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Told of each event that is in the log of a writer; it only counts. */
  readonly onEvent?: (instance: string, event: WriterEvent) => void;
  /** Counts the requests that are made for the instance. Default: those of the capture alone. */
  readonly requests?: RequestMeter;
}

/** A capture that does not run yet, and what looks after its keys while it runs. */
export interface OpenedCapture {
  readonly capture: NodeCapture;
  readonly tde: TdeDesk;
}

/**
 * Claims the writer log of an instance and makes a capture of it, which does not run yet.
 * @param ownerId - Id of the spool.
 * @throws CatalogError `TM_NOT_FOUND` when the store does not know the instance, `TM_RECYCLE_STATE`
 *   when it lies in the recycle bin, `TM_LOG_OWNER` when another archiver owns its log; as `probeAofDir`; StoreError; KeyError; TidemarkError `TM_SPOOL`.
 */
export async function openCapture(
  target: InstanceTarget,
  ownerId: string,
  setting: CaptureSetting,
): Promise<OpenedCapture> {
  const {
    stateDir,
    spoolBytesMax,
    limits,
    takeOver,
    ownerIsGone = false,
    onEvent,
    requests = new RequestMeter(setting.clock),
    ...ports
  } = setting;
  const instance = target.id;
  const store = new MeteredStore(ports.store, requests);
  const source = openerOf(target, setting);
  const spoolDir = spoolDirOf(instance, source.kind, stateDir);
  const logs = await openLog(instance, source.kind, { ...setting, store, counted: ports.store });
  const { writer, log, instanceLog, logKey } = logs;
  // Before the claim: a folder that is missing for long must not fill the log with claims.
  await source.check();
  await tryStore(instanceLog, ports);
  await closeOtherSources({ iid: instance, log: instanceLog, kept: writer, ownerId }, setting);
  const claim = { ownerId, takeOver: takeOver || ownerIsGone };
  const before = log.state.owner;
  await log.claim({ ...claim, heartbeatMs: limits.heartbeatMs });
  const spool = await Spool.open(spoolDir, spoolBytesMax);
  const generation = log.generation ?? 0;
  const dropped = await dropForeign({ dir: spoolDir, spool, ownerId, before, generation });
  const { keys, clock, random } = ports;
  const logger = setting.logger.child({ instance });
  if (dropped > 0) logger.info('spool-of-another-time', { entries: dropped });
  const dataKeys = new DataKeys({ instance, keys, store, clock });
  const latch = { store, logKey, stateDir, clock, random };
  const tde = new TdeDesk({ instance, log: instanceLog, ports: latch, keys, dataKeys, logger });
  await tde.renew();
  const capture = new NodeCapture({
    ...ports,
    store,
    requests,
    instance,
    dataKeys,
    shard: SHARD,
    writer,
    locator: target.locator?.() ?? fixedLocator(target.address),
    source,
    spool,
    copies: await CopyFolder.open({
      dir: `${spoolDir}.copies`,
      key: await openSpoolKey({ path: join(stateDir, 'spool', 'spool.key'), random }),
      ...{ instance, writer, random },
    }),
    note: new TimelineNoteFile(`${spoolDir}.timeline`),
    log,
    logger,
    limits,
    ...(onEvent && { onEvent: (event: WriterEvent) => onEvent(instance, event) }),
  });
  return { capture, tde };
}

function openerOf(
  { id, aofDir, hold = false }: InstanceTarget,
  { stateDir, spoolBytesMax: bytesMax, random }: CaptureSetting,
): SourceOpener {
  if (aofDir !== undefined) return aofOpener({ aofDir, hold });
  const path = join(stateDir, 'spool', 'spool.key');
  const key = (): Promise<DataKey> => openSpoolKey({ path, random });
  return psyncOpener({ dir: wireDirOf(id, stateDir), bytesMax, key });
}

/** The store itself, where another one stands before it that counts requests. */
interface Counted {
  readonly counted?: ObjectStore;
  /** What was just read of the writer log. */
  readonly readSoFar?: LogStart | null;
}

/** The logs that a capture writes to. */
export interface OpenedLogs {
  readonly writer: string;
  readonly log: WriterLog;
  readonly instanceLog: InstanceLog;
  readonly logKey: LogKey;
}

/**
 * Opens the log of the writer that captures an instance through a source; claims nothing.
 * @throws CatalogError `TM_NOT_FOUND` when the store does not know the instance, `TM_RECYCLE_STATE`
 *   when it lies in the recycle bin; StoreError; KeyError.
 */
export async function openLog(
  iid: string,
  source: SourceKind,
  ports: Pick<CaptureSetting, 'store' | 'keys' | 'clock' | 'random'> & Counted,
): Promise<OpenedLogs> {
  const { store, keys, clock, random, readSoFar: from } = ports;
  const logKey = await keys.logKey(iid);
  const instanceLog = await instanceLogOf(iid, source, logKey, ports);
  const writer = writersOf(instanceLog).find((one) => one.source === source)?.writer;
  if (writer === undefined) throw new TidemarkError('TM_INTERNAL', 'no writer is registered');
  const shard = SHARD;
  return {
    writer,
    instanceLog,
    logKey,
    log: await openWriterLog({
      ...{ store, iid, shard, writer, logKey, clock, random },
      ...(from && { from }),
    }),
  };
}

/** The log of an instance, in which its writer is registered: once, then the same for good. */
async function instanceLogOf(
  iid: string,
  source: SourceKind,
  logKey: LogKey,
  { store, clock, random, counted }: Pick<CaptureSetting, 'store' | 'clock' | 'random'> & Counted,
): Promise<InstanceLog> {
  await requireRecord(iid, logKey, store);
  const log = await openKnownLog({ store, iid, logKey, clock, random }, counted);
  refuseRecycled(iid, log);
  await log.append((state) =>
    state.writers.some((one) => isInUse(one) && one.source === source)
      ? null
      : {
          type: 'WriterRegistered',
          shard: SHARD,
          writer: `w-${makeId(clock.nowMs(), random)}`,
          source,
          atMs: clock.nowMs(),
        },
  );
  return log;
}

/** What is captured while it lies in the bin would go with it at the end of its time. */
function refuseRecycled(iid: string, { state: { recycle } }: InstanceLog): void {
  if (recycle === null) return;
  const destroyed = recycle.destroyed !== null;
  throw new CatalogError(
    'TM_RECYCLE_STATE',
    `${iid} ${destroyed ? 'was destroyed' : 'is in the recycle bin'}`,
    {
      context: { iid, sinceMs: recycle.sinceMs },
      hint: destroyed
        ? 'add the node under another id: tidemark instance add'
        : `its release was cut short: repeat it (tidemark instance remove ${iid} --to-recycle), or take it back: tidemark instance remove ${iid}, then add`,
    },
  );
}

/** A store that is not mounted looks like an empty one: nothing may be begun in it. */
async function requireRecord(iid: string, logKey: LogKey, store: ObjectStore): Promise<void> {
  try {
    await readInstanceRecord({ store, iid, logKey });
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || cause.code !== 'TM_NOT_FOUND') throw cause;
    throw new TidemarkError('TM_NOT_FOUND', `the store ${store.url} does not know ${iid}`, {
      context: { iid },
      hint: 'is it mounted, and the one that store.url means? Else add the instance again: tidemark instance remove, then add',
      cause,
    });
  }
}
