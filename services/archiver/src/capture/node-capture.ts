import type { HoleReason } from '@tidemark/archive';
import type { SnapshotStored, WriterEvent } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { BackupMode, ProvenHole } from '../control/protocol.ts';
import { Outlet } from '../ship/outlet.ts';
import { boundEnd } from './bound-end.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { CaptureSource, SourceItem } from './capture-source.ts';
import { statusOf, type CaptureStatus } from './capture-status.ts';
import { SampleDesk } from './sample-desk.ts';
import { SideWork } from './side-work.ts';
import { SnapshotLine } from './snapshot-line.ts';
import { TimelineLife } from './timeline-life.ts';

/** Rolled segments that may wait to be sealed before the tail pauses: they are in memory. */
const UNSEALED_MAX = 2;
const TICK_MS = 100;
/** How long a forced roll waits for the tail to pass a fresh sample. */
const ROLL_WAIT_MS = 3_000;

/**
 * Captures one node: reads its log, rolls segments, ships them and the bases that are wanted.
 *
 * The tail loop does not wait for the store: segments are sealed into the spool and go from there
 * into the store. When the spool is full, or no key can be had, the tail pauses, and the pins keep
 * what the server writes meanwhile.
 */
export class NodeCapture {
  readonly #options: CaptureOptions;
  readonly #stop = new AbortController();
  readonly #outlet: Outlet;
  readonly #life: TimelineLife;
  readonly #samples: SampleDesk;
  readonly #snapshots: SnapshotLine;
  readonly #side: SideWork;
  #source: CaptureSource | null = null;
  #failure: Error | null = null;
  #state: CaptureStatus['state'] = 'starting';
  /** Whether the tail waited for room in the spool since it had last read all there was. */
  #starved = false;
  #beat: Promise<void> | null = null;
  #segments = 0;
  /** Whether it is known what an earlier run left, and whether the source gave its first item. */
  #isRecovered = false;
  #isBegun = false;
  /** How the timeline is closed at the end; null when the next run goes on with it. */
  #last: { readonly reason: HoleReason; readonly detail: string } | null = null;

  constructor(options: CaptureOptions) {
    this.#options = options;
    const onFailed = (cause: unknown): void => this.#fail(cause);
    this.#outlet = new Outlet({
      capture: options,
      signal: this.#stop.signal,
      onDurable: (event) => this.#noteDurable(event),
      onFailed,
    });
    this.#side = new SideWork({ ...this.#outlet.shipping, capture: options });
    this.#life = new TimelineLife({ capture: options, outlet: this.#outlet, onFailed });
    this.#samples = new SampleDesk({
      ...options,
      onPlaced: (place) => this.#life.writer?.addSample(place),
    });
    this.#snapshots = new SnapshotLine({
      capture: options,
      outlet: this.#outlet,
      life: this.#life,
      source: () => this.#source,
      isBegun: () => this.#isBegun,
      isQuiet: () => this.#samples.isQuiet,
      signal: this.#stop.signal,
      onFailed,
    });
  }

  /**
   * Captures until the signal is aborted; then ships the open segment and releases the log.
   * @param onReading - Called when the log of the node can be read.
   * @throws CatalogError `TM_LOG_OWNER` or `TM_LOG_CONFLICT` when another owner took the log;
   *   StoreError `TM_STORE_IO` when the store does not answer at the end.
   */
  async run(signal: AbortSignal, onReading: () => void): Promise<void> {
    const { clock, logger } = this.#options;
    const reading = AbortSignal.any([signal, this.#stop.signal]);
    boundEnd(signal, this.#stop, clock);
    try {
      const recovered = await this.#outlet.backlog.recover();
      this.#isRecovered = true;
      await this.#life.load();
      if (recovered > 0) logger.info('recovered', { objects: recovered });
      const source = await this.#openSource(reading);
      this.#source = source;
      onReading();
      const background = [
        this.#samples.run(source, reading).catch((cause: unknown) => this.#fail(cause)),
        this.#tick(reading),
        this.#side.run(reading).catch((cause: unknown) => this.#fail(cause)),
      ];
      try {
        for (;;) {
          await this.#take(await source.next(), reading);
          this.#isBegun = true;
        }
      } catch (error) {
        if (!reading.aborted) throw error;
      }
      await Promise.all(background);
      this.#rethrow();
      await this.#drain();
    } finally {
      this.#stop.abort();
      this.#snapshots.refuse(
        new TidemarkError('TM_ARCHIVER_DOWN', 'the capture ended before the backup was made'),
      );
      await this.#snapshots.settled();
      await this.#snapshots.asked();
      await this.#life.sealed();
      await Promise.all([this.#outlet.backlog.ended(), this.#beat]);
      await this.#source?.[Symbol.asyncDispose]();
      await this.#options.locator[Symbol.asyncDispose]();
      this.#options.dataKeys.close();
      this.#state = 'stopped';
    }
  }

  /** Ships what is there now; afterwards the log proves as much as the samples can. */
  async roll(): Promise<{ readonly provenTo: number | null }> {
    const { log, clock } = this.#options;
    const asked = clock.nowMs();
    const deadline = clock.monotonicMs() + ROLL_WAIT_MS;
    while (
      !this.#samples.passedSince(asked, this.#life.writer?.place) &&
      clock.monotonicMs() < deadline
    ) {
      await clock.sleep(20, this.#stop.signal);
    }
    this.#life.roll();
    await this.#life.shipped();
    this.#rethrow();
    await this.#life.heartbeat(true);
    return { provenTo: log.state.timeline?.provenTo ?? null };
  }

  /**
   * Makes a backup: asks the node for a base and ships it.
   * @throws TidemarkError `TM_BUSY` while one is being made.
   */
  async backup(mode: BackupMode = 'manual'): Promise<SnapshotStored> {
    return this.#snapshots.backup(mode);
  }

  /** Logs that nothing is missing between two timelines. */
  async noteProof({ closed, opened }: ProvenHole): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#outlet.events.append({ type: 'HoleProven', closed, opened, atMs: clock.nowMs() });
    logger.info('hole-proven', { closed, opened });
  }

  /** When the capture ends, the timeline is closed too: nobody will go on with it. */
  closeAtEnd(reason: HoleReason, detail: string): void {
    this.#last = { reason, detail };
  }

  /** What there is to say now. */
  status(): CaptureStatus {
    const place = this.#life.writer?.place;
    return statusOf({
      ...this.#options,
      outlet: this.#outlet,
      state: this.#state,
      source: this.#options.source.kind,
      pinClass: this.#source?.pinClass ?? null,
      link: this.#source?.link ?? null,
      unsealedBytes: this.#life.unsealedBytes,
      unreadBytes: this.#samples.placed ? this.#samples.unreadBytes(place) : null,
      linkError: this.#samples.linkError ?? this.#source?.link?.error?.message ?? null,
      segments: this.#segments,
      requests: this.#options.requests.rate(),
      snapshots: this.#snapshots.count,
      isBackingUp: this.#isRecovered ? this.#snapshots.isBackingUp : null,
    });
  }

  async #openSource(signal: AbortSignal): Promise<CaptureSource> {
    const { source } = this.#options;
    const { resumable } = this.#life;
    const resume =
      resumable === null
        ? null
        : {
            cursor: resumable.cursor,
            back: resumable.after.partialBytes,
            needsBase: resumable.atFirstFile,
          };
    const isQuiet = (): boolean => this.#samples.isQuiet;
    return source.open({ ...this.#options, resume, signal, isQuiet });
  }

  async #take(item: SourceItem, signal: AbortSignal): Promise<void> {
    this.#rethrow();
    switch (item.kind) {
      case 'opened':
        if (item.continuity === 'broken') await this.#snapshots.leave(signal);
        await this.#life.enter(item);
        if (item.base !== null) await this.#snapshots.offer(item.base);
        else await this.#snapshots.look();
        return;
      case 'bytes':
        if (!(await this.#push(item))) return;
        this.#life.rollWhenDue();
        // A server that never pauses leaves the tail no idle moment.
        if (this.#samples.passedSince(0, this.#life.writer?.place)) this.#caughtUp();
        await this.#snapshots.look();
        await this.#pauseWhileFull();
        return;
      case 'base':
        await this.#snapshots.offer(item.base);
        return;
      case 'ended':
        return;
      case 'idle':
        this.#caughtUp();
        return;
      case 'broken':
        await this.#broken(item);
        return;
    }
  }

  /** @returns False when the bytes are no commands: the log is then followed from the next file on. */
  async #push({ data, position }: Extract<SourceItem, { kind: 'bytes' }>): Promise<boolean> {
    try {
      this.#life.writer?.push(data, position);
      return true;
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || !cause.code.startsWith('TM_AOF_')) throw cause;
      await this.#life.close('divergent-tail', `not to be read (${cause.code}): ${cause.message}`);
      await this.#source?.giveUp();
      return false;
    }
  }

  async #broken(item: Extract<SourceItem, { kind: 'broken' }>): Promise<void> {
    // A server that was killed cuts its torn last command off. As long as nothing of that was
    // archived, the log goes on behind the last whole command.
    const again = item.cut ? await this.#life.suspend() : null;
    const { detail } = item;
    const starved = this.#starved && item.reason === 'pin-dropped';
    if (again === null) await this.#life.close(starved ? 'spool-full' : item.reason, detail);
    else this.#source?.resumeAt(again);
  }

  /** Memory is bounded: what cannot be sealed now stays in the files of the server. */
  async #pauseWhileFull(): Promise<void> {
    while (this.#life.waiting >= UNSEALED_MAX) {
      this.#starved ||= this.#outlet.health.isSpoolFull;
      await this.#options.clock.sleep(5, this.#stop.signal);
    }
  }

  async #tick(signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#options;
    try {
      while (!signal.aborted) {
        await clock.sleep(TICK_MS, signal);
        this.#life.rollWhenDue();
        if (limits.requestRewrites) this.#snapshots.lookForNeed();
        this.#source?.look();
        // A store that is away keeps it waiting: segments are rolled all the same.
        this.#beat ??= this.#life
          .heartbeat(false)
          .catch((cause: unknown) => this.#fail(cause))
          .finally(() => (this.#beat = null));
      }
    } catch (cause) {
      if (!signal.aborted) this.#fail(cause);
    }
  }

  #caughtUp(): void {
    this.#starved = false;
    if (this.#state === 'caught-up') return;
    this.#state = 'caught-up';
    const { writer } = this.#options;
    this.#options.logger.info('caught-up', {
      writer,
      offset: (this.#life.writer?.end ?? 0n).toString(),
      pins: this.#source?.pinClass ?? 'none',
    });
  }

  /** The files before a durable cursor need no pins any more. */
  async #noteDurable(event: WriterEvent): Promise<void> {
    if (event.type !== 'SegmentStored') return;
    this.#segments += 1;
    const { segment, cursor, after } = event;
    if (cursor === null) return;
    const { writer } = this.#life;
    if (writer?.timeline === segment.timeline) writer.forgetFilesBefore(cursor.seq);
    await this.#source?.releaseBefore(cursor, after.partialBytes);
  }

  async #drain(): Promise<void> {
    const { log, clock } = this.#options;
    this.#life.roll();
    await this.#life.shipped();
    this.#rethrow();
    await this.#life.heartbeat(true);
    if (this.#last !== null) await this.#life.close(this.#last.reason, this.#last.detail);
    await this.#life.shipped();
    this.#rethrow();
    // A snapshot under way is for the next run: its event may not come after the release.
    this.#stop.abort();
    await this.#snapshots.settled();
    const generation = log.state.owner?.generation ?? 0;
    await this.#outlet.events.append({ type: 'Released', generation, atMs: clock.nowMs() });
  }

  #fail(cause: unknown): void {
    this.#failure ??= cause instanceof Error ? cause : new Error(String(cause));
    this.#stop.abort();
  }

  #rethrow(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
