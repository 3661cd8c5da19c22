import type { SnapshotStored } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { BackupMode } from '../control/protocol.ts';
import type { Outlet } from '../ship/outlet.ts';
import { neededRewrite, type RewriteNeed } from '../ship/snapshot-policy.ts';
import { BaseDesk, type WantedBase } from './base-desk.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { CaptureSource, SourceBase } from './capture-source.ts';
import { isLost } from './follows-log.ts';
import { openTimelineOf } from './open-timeline.ts';
import { RewriteAsker } from './rewrite-asker.ts';
import { faultOfBase, shipBase } from './ship-base.ts';
import type { TimelineLife } from './timeline-life.ts';

/** How long a base may take to come after it was asked for. */
const BASE_WAIT_MS = 600_000;
/** How long a request waits for a capture that has just started to read. */
const BEGIN_WAIT_MS = 30_000;
/** How often it is looked whether a snapshot is sealed that is waited for, or the source has begun. */
const LEAVE_LOOK_MS = 20;

/** What a snapshot line works with. */
export interface SnapshotLineOptions {
  readonly capture: CaptureOptions;
  readonly outlet: Pick<Outlet, 'backlog' | 'shipping'>;
  readonly life: Pick<TimelineLife, 'writer' | 'servesFrom'>;
  /** Null before it is open. */
  readonly source: () => CaptureSource | null;
  /** Whether it gave something: before that nobody knows which base was there already. */
  readonly isBegun: () => boolean;
  readonly isQuiet: () => boolean;
  readonly signal: AbortSignal;
  /** Called with a fault that ends the capture. */
  readonly onFailed: (cause: unknown) => void;
}

/** Makes snapshots of the bases that a source gives, and asks for one when it is needed. */
export class SnapshotLine {
  readonly #options: SnapshotLineOptions;
  readonly #desk: BaseDesk;
  readonly #asker: RewriteAsker;
  #snapshots = 0;
  #isLeft = false;
  /** Requests that wait until the source has begun. */
  #early = 0;

  constructor(options: SnapshotLineOptions) {
    this.#options = options;
    const { capture, outlet, life, source, isQuiet, signal } = options;
    const { clock, logger } = capture;
    this.#desk = new BaseDesk({
      startOf: (seq, position) => life.writer?.fileStart(seq, position) ?? null,
      place: () => life.writer?.place ?? { seq: -1, position: 0 },
      last: () => openTimelineOf(outlet.backlog.state)?.snapshot ?? null,
      nowMs: () => clock.nowMs(),
      ship: (wanted) => this.#ship(wanted),
      release: async (base) => source()?.releaseBase(base.name),
    });
    this.#asker = new RewriteAsker({
      clock,
      logger,
      need: () => this.#need(),
      isQuiet,
      ask: async () => source()?.askBase(signal),
    });
  }

  /** Snapshots made since the capture began. */
  get count(): number {
    return this.#snapshots;
  }

  /** Takes a base that the source gave. */
  async offer(base: SourceBase): Promise<void> {
    await this.#desk.offer(base);
  }

  /** Looks again at the base that waits for the tail. */
  async look(): Promise<void> {
    await this.#desk.look();
  }

  /** Looks whether a snapshot is needed that nobody made; to be called often. */
  lookForNeed(): void {
    this.#asker.look();
  }

  /** Whether a backup is under way that was asked for, or a snapshot that an earlier run left. */
  get isBackingUp(): boolean {
    return this.#early > 0 || this.#isBusy;
  }

  get #isBusy(): boolean {
    const isLeftOver = this.#options.outlet.backlog.snapshots > 0 && !this.#desk.isShipping;
    return this.#desk.requested || isLeftOver;
  }

  /**
   * Asks the node for a base and makes a backup of it. Whoever waits for it stops waiting some time
   * after the node gave it: a request may not stand in the way of later ones for ever.
   * @throws TidemarkError `TM_BUSY` while one is being made; `TM_ARCHIVER_REPLY` when none came;
   *   `TM_ARCHIVER_DOWN` when the capture ends, or reads nothing.
   */
  async backup(mode: BackupMode): Promise<SnapshotStored> {
    await this.#untilBegun();
    if (this.#isBusy) {
      throw new TidemarkError('TM_BUSY', 'a backup of this instance is being made', {
        hint: 'wait until it stands in: tidemark backup list ID',
      });
    }
    const over = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, over.signal]);
    const stored = this.#desk.request(mode);
    this.#request(signal).catch((cause: unknown) => this.#desk.refuse(cause, stored));
    return stored.finally(() => over.abort()); // else its timer runs on
  }

  /** No request can be met any more. */
  refuse(cause: unknown): void {
    this.#desk.refuse(cause);
  }

  /**
   * To be called before the open timeline is closed. Without a snapshot it restores nothing, and
   * once it is closed it gets none: its first one is waited for until it is sealed, or fails.
   * @throws The signal's reason when it is aborted.
   */
  async leave(signal: AbortSignal): Promise<void> {
    const { capture, outlet } = this.#options;
    const isBare = (): boolean => openTimelineOf(outlet.backlog.state)?.snapshot === null;
    this.#isLeft = true;
    try {
      while (this.#desk.isShipping && isBare()) await capture.clock.sleep(LEAVE_LOOK_MS, signal);
    } finally {
      this.#isLeft = false;
    }
  }

  /** Waits for the snapshot under way, if any. */
  async settled(): Promise<void> {
    await this.#desk.settled();
  }

  /** Resolves when the node is asked for nothing any more. */
  async asked(): Promise<void> {
    await this.#asker.settled();
  }

  /** The base that a capture begins with is from before it was asked for one. */
  async #untilBegun(): Promise<void> {
    const { isBegun, capture, signal } = this.#options;
    const deadline = capture.clock.monotonicMs() + BEGIN_WAIT_MS;
    this.#early += 1;
    try {
      while (!isBegun() && capture.clock.monotonicMs() < deadline) {
        await capture.clock.sleep(LEAVE_LOOK_MS, signal);
      }
    } catch (cause) {
      throw new TidemarkError('TM_ARCHIVER_DOWN', 'the capture ended before the backup was made', {
        cause,
      });
    } finally {
      this.#early -= 1;
    }
    if (isBegun()) return;
    throw new TidemarkError('TM_ARCHIVER_DOWN', 'the capture of this instance has not begun', {
      hint: 'tidemark status says what it waits for',
    });
  }

  async #request(signal: AbortSignal): Promise<never> {
    await this.#options.source()?.askBase(signal);
    await this.#options.capture.clock.sleep(BASE_WAIT_MS, signal);
    throw new TidemarkError('TM_ARCHIVER_REPLY', 'the node was asked for a base, and none came', {
      hint: 'the pins may be over their limit, or the log is read too slowly: see status',
    });
  }

  #need(): RewriteNeed | null {
    if (this.#desk.occupied) return null;
    const { outlet, capture, source } = this.#options;
    const need = neededRewrite(openTimelineOf(outlet.backlog.state), capture.clock.nowMs());
    // A base that becomes no snapshot, or ends the timeline, makes nothing better.
    const helps = this.#desk.rewritesGiveRdb && source()?.canRebase === true;
    return need === 'long-log' && !helps ? 'none' : need;
  }

  async #ship(wanted: WantedBase): Promise<SnapshotStored> {
    const { capture, outlet, life, signal, onFailed } = this.#options;
    const { logger } = capture;
    const isFirst = openTimelineOf(outlet.backlog.state)?.snapshot === null;
    try {
      const stored = await shipBase(
        { ...wanted, servesFrom: life.servesFrom, isFirst, isLeft: () => this.#isLeft },
        () => life.writer,
        outlet.shipping,
        outlet.backlog,
      );
      this.#snapshots += 1;
      const { backup, offset, summary } = stored;
      logger.info('snapshot', { backup, offset: offset.toString(), keys: summary.keys });
      return stored;
    } catch (cause) {
      if (!signal.aborted) logger.error('snapshot', faultOfBase(cause));
      if (isLost(cause)) onFailed(cause);
      throw cause;
    }
  }
}
