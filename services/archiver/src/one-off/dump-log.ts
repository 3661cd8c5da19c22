import {
  openWriterLog,
  type TimelineOpened,
  type TimelineState,
  type WriterLog,
} from '@tidemark/catalog';
import { CatalogError } from '@tidemark/core';
import { openTimelineOf } from '../capture/open-timeline.ts';
import { SHARD, writersOf } from '../instance-writers.ts';
import { openLog, type CaptureSetting, type OpenedLogs } from '../open-capture.ts';

/** Owners of this name make one-off backups: what one of them left open is of no use to anybody. */
const OWNER_PREFIX = 'dump-';

/** Whether an owner of a log makes one-off backups. */
export function isOneOffOwner(ownerId: string): boolean {
  return ownerId.startsWith(OWNER_PREFIX);
}

/** What the log of a one-off backup is written with. */
export type DumpLogPorts = Pick<CaptureSetting, 'store' | 'keys' | 'clock' | 'random'> & {
  readonly heartbeatMs: number;
};

/** The log of a one-off backup, from its claim to its release. */
export class DumpLog implements Pick<OpenedLogs, 'log' | 'instanceLog' | 'writer' | 'logKey'> {
  readonly log: WriterLog;
  readonly instanceLog: OpenedLogs['instanceLog'];
  readonly writer: string;
  readonly logKey: OpenedLogs['logKey'];
  readonly #iid: string;
  readonly #ports: DumpLogPorts;

  private constructor(iid: string, logs: OpenedLogs, ports: DumpLogPorts) {
    this.log = logs.log;
    this.instanceLog = logs.instanceLog;
    this.writer = logs.writer;
    this.logKey = logs.logKey;
    this.#iid = iid;
    this.#ports = ports;
  }

  /**
   * Claims the log in which captures by replication write too; while one of any kind is under way, or
   * is to be gone on with, it is theirs. What a one-off backup that was killed left open is closed.
   * @throws CatalogError `TM_NOT_FOUND`, `TM_LOG_OWNER`; StoreError; KeyError.
   */
  static async claim(iid: string, spoolId: string, ports: DumpLogPorts): Promise<DumpLog> {
    const claimed = new DumpLog(iid, await openLog(iid, 'psync', ports), ports);
    await claimed.refuseCaptured();
    const ownerId = `${OWNER_PREFIX}${spoolId}`;
    const { heartbeatMs } = ports;
    await claimed.log.claim({ ownerId, takeOver: false, heartbeatMs });
    await claimed.#close('a one-off backup that was cut short');
    return claimed;
  }

  /**
   * Seconds of a timeline that is open would be hidden by one that is opened after it, and an archiver
   * that is down for now comes back.
   * @throws CatalogError `TM_LOG_OWNER` where a capture has a timeline open.
   */
  async refuseCaptured(): Promise<void> {
    const { store, clock, random } = this.#ports;
    const [iid, shard, logKey] = [this.#iid, SHARD, this.logKey];
    await this.instanceLog.catchUp();
    for (const { writer } of writersOf(this.instanceLog)) {
      const own = writer === this.writer;
      const log = own
        ? this.log
        : await openWriterLog({ store, iid, shard, writer, logKey, clock, random });
      await log.catchUp();
      const { state } = log;
      const ours = isOneOffOwner(state.owner?.ownerId ?? '');
      if (openTimelineOf(state) === null || ours) continue;
      throw new CatalogError('TM_LOG_OWNER', `${iid} is captured by an archiver`, {
        context: { iid, writer },
        hint: `where it is configured: tidemark backup create ${iid}; else name another id, or end that capture: tidemark instance remove ${iid}`,
      });
    }
  }

  /** What opens a timeline behind those of this log. */
  opened(timeline: string, node: TimelineOpened['node']): TimelineOpened {
    const previous = this.log.state.timeline?.timeline ?? null;
    const atMs = this.#ports.clock.nowMs();
    const type = 'TimelineOpened';
    return { type, timeline, source: 'psync', reason: 'attach', previous, atMs, node };
  }

  /**
   * Closes what is open and releases the log. Nothing happens when the log was lost.
   * @throws CatalogError; StoreError.
   */
  async end(): Promise<void> {
    if (this.log.stopped !== null) return;
    await this.#close('a one-off backup');
    await this.log.release();
  }

  async #close(detail: string): Promise<void> {
    const open = openTimelineOf(this.log.state);
    if (open === null) return;
    const { timeline, end: offset, provenTo } = open;
    const atMs = this.#ports.clock.nowMs();
    const type = 'TimelineClosed';
    await this.log.append({ type, timeline, offset, reason: 'detached', provenTo, detail, atMs });
  }
}

/**
 * The first second that a one-off backup serves: from there on its timeline hides those before it, so
 * it begins behind all that they can restore.
 * @param previous - The timeline in front of it.
 * @param second - In which the server began to write its snapshot.
 */
export function firstSecondBehind(
  previous: Pick<TimelineState, 'provenTo' | 'from'> | null,
  second: number,
): number {
  const { provenTo = null, from = null } = previous ?? {};
  return Math.max(second, from ?? second, provenTo === null ? second : provenTo + 1);
}
