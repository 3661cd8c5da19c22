import { writerLogKey } from '@tidemark/archive';
import { listInstanceIds, openWriterLog, type WriterLog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { openTimelineOf } from '../capture/open-timeline.ts';
import { SHARD, writersOf } from '../instance-writers.ts';
import { openKnownLog } from '../known-logs.ts';
import { isOneOffOwner } from '../one-off/dump-log.ts';
import type { CaptureSetting } from '../open-capture.ts';

/** Between two looks at the logs of other hosts. */
const LOOK_MS = 20_000;
/** An owner appends something this often, unless it is told otherwise; after four times its host counts as gone. */
const HEARTBEAT_MS = 20_000;
const SILENT_HEARTBEATS = 4;
/** Between two looks at an instance that hosts share: mostly one of them goes on long before. */
const SHARED_LOOK_MS = 55_000;
/** Instances that are added later are found after so many looks. */
const LIST_EVERY = 15;

/** A host that captured an instance which nobody captures any more. */
export interface GoneHost {
  readonly instance: string;
  /** Id of the spool of that host. */
  readonly owner: string;
  /** Its last sign of life, Unix milliseconds. */
  readonly lastEntryMs: number;
}

/** What a watch works with. */
export interface HostWatchOptions extends Pick<
  CaptureSetting,
  'store' | 'keys' | 'clock' | 'random' | 'logger'
> {
  /** Instances of this host: who captures them is seen otherwise. */
  readonly isHere: (instance: string) => boolean;
  /** Instances that hosts share: whoever lets go of one, another one is to go on. Default: none. */
  readonly isShared?: (instance: string) => boolean;
  /** Distance of heartbeats that owners have, as configured; shorter ones count as the default, 20 s. */
  readonly heartbeatMs?: number;
  /** Default 20 s. */
  readonly lookMs?: number;
}

/** What is said to be gone, and back. */
const WORDS = { aof: 'aof-host', psync: 'capture' } as const;

interface Watched {
  readonly instance: string;
  readonly source: 'aof' | 'psync';
  readonly prefix: string;
  readonly log: WriterLog;
  /** Key of the newest entry that is known. */
  newest: string;
  /** When it was first seen, on the clock of this process. */
  seenMs: number;
  /** When it was looked for, on the same clock. */
  lookedMs: number;
  gone: GoneHost | null;
}

/**
 * Watches the logs of instances that others capture. Append-only files are read where they lie, so
 * nobody goes on when their host is gone; and of one that hosts share nobody may go on either, when
 * none of them can, or has it. What is not captured is in no archiver's numbers, so somebody has to say it.
 *
 * Life is an entry that comes, by the clock of who watches; what entries hold is not read for it.
 */
export class HostWatch {
  readonly #options: HostWatchOptions;
  readonly #watched = new Map<string, Watched>();
  #looks = 0;

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** Hosts that show no life now, by instance. */
  get gone(): readonly GoneHost[] {
    return [...this.#watched.values()].flatMap(({ gone }) => (gone === null ? [] : [gone]));
  }

  /** Looks again and again until the signal is aborted. A store that is away says nothing of hosts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, lookMs = LOOK_MS } = this.#options;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      try {
        await this.look(signal);
      } catch (cause) {
        if (isOver()) return;
        if (!(cause instanceof TidemarkError)) throw cause;
        logger.warn('host-watch', { code: cause.code, error: cause.message });
      }
      await clock.sleep(lookMs, signal).catch(() => undefined);
    }
  }

  /** Looks once. @throws StoreError and what reading a log throws. */
  async look(signal: AbortSignal): Promise<void> {
    if (this.#looks++ % LIST_EVERY === 0) await this.#find(signal);
    const nowMs = this.#options.clock.monotonicMs();
    for (const watched of this.#watched.values()) {
      if (watched.source === 'psync' && nowMs - watched.lookedMs < SHARED_LOOK_MS) continue;
      watched.lookedMs = nowMs;
      const isRead = await this.#passedOver(watched.instance, () => this.#lookAt(watched, signal));
      if (isRead === null) this.#watched.delete(watched.instance); // tried again with the next list
    }
  }

  async #find(signal: AbortSignal): Promise<void> {
    const { store, isHere } = this.#options;
    for (const instance of await listInstanceIds(store, signal)) {
      const watched = this.#watched.get(instance);
      // One whose host is gone may have been removed since.
      if (isHere(instance) || watched?.gone != null) this.#watched.delete(instance);
      if (isHere(instance) || (watched !== undefined && watched.gone === null)) continue;
      const found = await this.#watchable(instance);
      if (found !== null) this.#watched.set(instance, { ...found, gone: watched?.gone ?? null });
    }
  }

  #watchable(instance: string): Promise<Watched | null> {
    return this.#passedOver(instance, () => this.#watch(instance));
  }

  /** One that cannot be read keeps no other one from being watched. @returns Null for one. */
  async #passedOver<T>(instance: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || cause.retryable) throw cause;
      const { code, message } = cause;
      this.#options.logger.warn('host-watch', { instance, code, error: message });
      return null;
    }
  }

  /** The log that was written to last: the source of a capture may have been changed. */
  async #watch(iid: string): Promise<Watched | null> {
    const { store, keys, clock, random } = this.#options;
    const logKey = await keys.logKey(iid);
    const instance = await openKnownLog({ store, iid, logKey, clock, random });
    if (instance.state.removedMs !== null) return null;
    let latest: Watched | null = null;
    let latestMs = -Infinity;
    for (const { writer, source } of writersOf(instance)) {
      const ports = { store, iid, shard: SHARD, writer, logKey, clock, random };
      const log = await openWriterLog(ports);
      const { seq, lastEntryMs } = log.state;
      if (seq < 0 || (lastEntryMs ?? 0) <= latestMs) continue;
      latestMs = lastEntryMs ?? 0;
      const newest = writerLogKey(iid, SHARD, writer, seq);
      const prefix = newest.slice(0, newest.lastIndexOf('/') + 1);
      const seenMs = clock.monotonicMs() - Math.max(0, clock.nowMs() - latestMs);
      const seen = { newest, seenMs, lookedMs: -Infinity, gone: null };
      latest = { instance: iid, source, log, prefix, ...seen };
    }
    return latest;
  }

  async #lookAt(watched: Watched, signal: AbortSignal): Promise<void> {
    const { store, clock, logger, heartbeatMs = HEARTBEAT_MS } = this.#options;
    const silenceMs = SILENT_HEARTBEATS * Math.max(HEARTBEAT_MS, heartbeatMs);
    const { instance, prefix, newest } = watched;
    for await (const batch of store.list(prefix, { after: newest, signal })) {
      watched.newest = batch.at(-1)?.key ?? watched.newest;
    }
    if (watched.newest !== newest) {
      watched.seenMs = clock.monotonicMs();
      if (watched.gone !== null) logger.info(`${WORDS[watched.source]}-back`, { instance });
      watched.gone = null;
      return;
    }
    if (watched.gone !== null || clock.monotonicMs() - watched.seenMs < silenceMs) return;
    await watched.log.catchUp();
    const { owner, lastEntryMs } = watched.log.state;
    if (owner === null || isOneOffOwner(owner.ownerId)) return;
    // Who released it was told to stop, and whoever told it knows; unless another one was to go on.
    if (owner.released && !this.#isLeft(watched)) {
      this.#watched.delete(instance); // found again with the log that is written to then
      return;
    }
    // A capture of another source may have begun since.
    const now = await this.#watchable(instance);
    if (now?.prefix !== prefix) {
      this.#watchInstead(now, instance);
      return;
    }
    watched.gone = { instance, owner: owner.ownerId, lastEntryMs: lastEntryMs ?? 0 };
    logger.error(`${WORDS[watched.source]}-gone`, { ...watched.gone });
  }

  #isLeft({ instance, source, log }: Watched): boolean {
    const { isShared = () => false } = this.#options;
    return source === 'psync' && isShared(instance) && openTimelineOf(log.state) !== null;
  }

  #watchInstead(now: Watched | null, instance: string): void {
    if (now === null) this.#watched.delete(instance);
    else this.#watched.set(instance, now);
  }
}
