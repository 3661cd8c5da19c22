import { digestOf, type TailCursor } from '@tidemark/aof';
import type { ClockStep, HoleReason } from '@tidemark/archive';
import { stretchOf, type TimelineState, type WriterEvent } from '@tidemark/catalog';
import { makeId } from '@tidemark/core';
import type { Backlog } from '../ship/backlog.ts';
import type { Outlet } from '../ship/outlet.ts';
import type { SealedSegment } from '../ship/segment-shipper.ts';
import { ShipLine } from '../ship/ship-line.ts';
import type { CaptureOptions } from './capture-options.ts';
import type { SourceItem } from './capture-source.ts';
import type { EventLine } from './event-line.ts';
import {
  firstOwnSecond,
  freshWriter,
  nodeOf,
  openTimelineOf,
  serverSeconds,
  type ServerSeconds,
  resumableTimeline,
  type ResumableTimeline,
  resumeWriter,
} from './open-timeline.ts';
import type { TimelineNote } from './timeline-note.ts';
import type { TimelineWriter } from './timeline-writer.ts';

/** How old a segment may become while others wait for the store: fewer of them, and larger. */
const BEHIND_AGE_MS = 10_000;

type Opened = Extract<SourceItem, { kind: 'opened' }>;

/** What a timeline life works with. */
export interface TimelineLifeOptions {
  readonly capture: CaptureOptions;
  readonly outlet: Pick<Outlet, 'events' | 'shipper' | 'backlog'>;
  /** Called once, with the first fault of sealing that a retry cannot mend. */
  readonly onFailed: (cause: unknown) => void;
}

/**
 * The timelines of one capture, one after the other: each is opened or resumed, rolled into
 * segments that are sealed into the backlog, and closed with a reason. At most one is open.
 *
 * Nothing here waits for the store: what is opened, ended and closed is an entry of the backlog.
 */
export class TimelineLife {
  readonly #options: CaptureOptions;
  readonly #events: EventLine;
  readonly #ships: ShipLine;
  readonly #backlog: Backlog;
  #writer: TimelineWriter | null = null;
  /** Everything of the open timeline before this lies in the spool or the store. */
  #sealedTo = 0n;
  #failure: Error | null = null;
  #note: TimelineNote | null = null;

  constructor({ capture, outlet, onFailed }: TimelineLifeOptions) {
    const { events, shipper, backlog } = outlet;
    this.#options = capture;
    this.#events = events;
    this.#backlog = backlog;
    this.#ships = new ShipLine({
      shipper,
      backlog,
      onSealed: ({ event }) => this.#noteSealed(event),
      onFailed: (cause) => {
        this.#failure = cause instanceof Error ? cause : new Error(String(cause));
        onFailed(cause);
      },
    });
  }

  /** Builds the segments of the open timeline; null while none is open. */
  get writer(): TimelineWriter | null {
    return this.#writer;
  }
  /** First second that the open timeline serves; null when it is up to its snapshot. */
  get servesFrom(): number | null {
    return this.#note?.timeline === this.#writer?.timeline
      ? (this.#note?.servesFrom ?? null)
      : null;
  }
  /** The timeline that can be gone on with, and where, once the backlog is in the log. */
  get resumable(): ResumableTimeline | null {
    return resumableTimeline(this.#backlog.state, this.#note);
  }
  /** Bytes of the open timeline that were read and are in memory only. */
  get unsealedBytes(): number {
    return this.#writer === null ? 0 : Number(this.#writer.end - this.#sealedTo);
  }
  /** Rolled segments that are in memory only. */
  get waiting(): number {
    return this.#ships.waiting;
  }

  /** Reads what this host knows beyond the log. */
  async load(): Promise<void> {
    this.#note = await this.#options.note.read();
  }

  /** Takes the next file: of the open timeline, of the one to be resumed, or of a new one. */
  async enter(item: Opened): Promise<void> {
    const { clock, logger } = this.#options;
    const { resumable } = this;
    if (item.continuity === 'proven' && this.#writer !== null) {
      this.#writer.openFile(item.file, item.position, null, item.start);
    } else if (item.continuity === 'resumed' && this.#writer === null && resumable !== null) {
      this.#writer = resumeWriter(resumable, item, clock, this.#segmentLimits());
      this.#sealedTo = resumable.end;
      logger.info('resumed', {
        timeline: resumable.timeline,
        offset: resumable.end.toString(),
      });
    } else {
      const { reason = 'capture-down', detail = 'the log could not be followed on' } = item;
      const before = this.#writer;
      await this.close(reason, detail);
      await this.#open(item);
      // What stood ahead of the tail may stand in the timeline that begins here.
      for (const sample of before?.waiting.takeAhead(before.place.seq) ?? []) {
        this.#writer?.addSample(sample);
      }
    }
  }

  /**
   * Seals what there is and lets go of the writer, but closes nothing: what follows the last
   * command that was archived is to be read once more.
   * @returns Where; null when that cannot be told, or bytes after it were archived too.
   */
  async suspend(): Promise<TailCursor | null> {
    await this.#sealAll();
    const open = openTimelineOf(this.#backlog.state);
    const provenTo = open === null ? null : this.#provenTo(open, open.end);
    if (open !== null && (provenTo ?? -1) > (open.provenTo ?? -1)) {
      const { timeline, end: offset } = open;
      const atMs = this.#options.clock.nowMs();
      await this.#log({ type: 'Heartbeat', timeline, offset, provenTo, atMs });
    }
    const { resumable } = this;
    if (this.#writer === null || resumable === null || resumable.after.partialBytes > 0)
      return null;
    this.#writer = null;
    return resumable.cursor;
  }

  /**
   * Seals what there is of the open timeline, then closes it. Nothing happens without one.
   * @throws What sealing failed with: a timeline ends where its bytes are archived, not before.
   */
  async close(reason: HoleReason, detail: string): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#sealAll();
    const open = openTimelineOf(this.#backlog.state);
    const provenTo = open === null ? null : this.#provenTo(open, open.end);
    this.#writer = null;
    if (open === null) return;
    await this.#log({
      type: 'TimelineClosed',
      timeline: open.timeline,
      offset: open.end,
      reason,
      provenTo,
      detail,
      atMs: clock.nowMs(),
    });
    logger.warn('hole', { timeline: open.timeline, reason, detail });
  }

  /** Rolls the segment being built when it is old or large enough. */
  rollWhenDue(): void {
    const { rollMaxAgeMs, rollMaxBytes } = this.#options.limits;
    const writer = this.#writer;
    if (writer?.stepDue === true) this.roll();
    if (writer === null || writer.rawBytes === 0) return;
    const behind = this.#ships.waiting + this.#backlog.waiting > 0;
    const ageMaxMs = behind ? Math.max(BEHIND_AGE_MS, rollMaxAgeMs) : rollMaxAgeMs;
    const old = writer.ageMs >= ageMaxMs;
    if (old || writer.rawBytes >= rollMaxBytes) this.roll();
  }

  /**
   * Rolls the segment being built, if there is anything in it, and what steps of the clock ended
   * before: each is logged behind the segment it ended.
   */
  roll(): void {
    const writer = this.#writer;
    if (writer === null) return;
    for (const { segment, provenTo, step } of writer.takeSteps()) {
      if (segment !== null) this.#ships.add(segment, provenTo);
      this.#ships.run(() => this.#logStep(writer.timeline, step));
    }
    const rolled = writer.roll();
    if (rolled !== null) this.#ships.add(rolled, writer.provenTo(rolled.header.end));
  }

  /** Resolves when all that was rolled so far is durable or has failed. */
  async shipped(): Promise<void> {
    await this.#ships.sealed();
    await this.#backlog.settled();
  }

  /** Resolves when nothing is sealed any more. */
  async sealed(): Promise<void> {
    await this.#ships.sealed();
  }

  /** The latest second proven once everything before `durable` is; never less than the log says. */
  provenTo(durable: bigint): number | null {
    const open = openTimelineOf(this.#options.log.state);
    return open === null ? null : this.#provenTo(open, durable);
  }

  /** Appends a sign of life when one is due, or at once when it proves more than the log does. */
  async heartbeat(atOnce: boolean): Promise<void> {
    await this.#events.heartbeat((durable) => this.provenTo(durable), atOnce);
  }

  #provenTo(open: TimelineState, durable: bigint): number | null {
    const logged = open.provenTo;
    const writer = this.#writer;
    // Of a place that the backlog is not past, its entries say what they prove.
    if (writer?.timeline !== open.timeline || durable < this.#sealedTo) return logged;
    // What marks prove after a step of the clock counts once the step is logged.
    if (stretchOf(open) !== writer.stretch) return logged;
    const seen = writer.provenTo(durable);
    return seen === null || (logged !== null && logged > seen) ? logged : seen;
  }

  async #sealAll(): Promise<void> {
    this.roll();
    await this.#ships.sealed();
    if (this.#failure !== null) throw this.#failure;
  }

  /** Logs an event behind all that was rolled. */
  async #log(event: WriterEvent): Promise<void> {
    this.#ships.run(() => this.#backlog.addEvent(event));
    await this.#ships.sealed();
    if (this.#failure !== null) throw this.#failure;
  }

  #noteSealed({ segment }: SealedSegment['event']): void {
    if (this.#writer?.timeline !== segment.timeline) return;
    this.#sealedTo = segment.end;
    this.#writer.settle(segment.end);
  }

  async #logStep(timeline: string, step: ClockStep): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#backlog.addEvent({ type: 'ClockStepped', timeline, ...step, atMs: clock.nowMs() });
    const { direction, offset, fromMs, toMs } = step;
    logger.warn('clock-stepped', { timeline, direction, offset: offset.toString(), fromMs, toMs });
  }

  async #open(item: Opened): Promise<void> {
    const { clock, random, logger, locator, source, note } = this.#options;
    const previous = this.#backlog.state.timeline;
    const timeline = makeId(clock.nowMs(), random);
    const reason = previous === null ? 'attach' : (previous.closed?.reason ?? 'capture-down');
    // Noted before it is logged: a kill in between must not lose what it may serve.
    const servesFrom = firstOwnSecond(previous, this.#note, await this.#seconds());
    const start = { ...item.file, file: item.file.name, position: item.position };
    const nothing = { digest: digestOf(Buffer.alloc(0)), digestBytes: 0 };
    this.#note = { timeline, start: { ...start, ...nothing }, servesFrom };
    await note.write(this.#note);
    await this.#log({
      type: 'TimelineOpened',
      timeline,
      source: source.kind,
      reason,
      previous: previous?.timeline ?? null,
      atMs: clock.nowMs(),
      node: await nodeOf(locator, previous?.node),
    });
    this.#writer = freshWriter(timeline, item, clock, this.#segmentLimits());
    this.#sealedTo = 0n;
    logger.info('timeline', { timeline, reason, file: item.file.name });
  }

  async #seconds(): Promise<ServerSeconds> {
    const now = Math.floor(this.#options.clock.nowMs() / 1000);
    return (await serverSeconds(this.#options.locator)) ?? { now, start: now };
  }

  #segmentLimits(): { readonly bytesMax: number } {
    return { bytesMax: 2 * this.#options.limits.rollMaxBytes };
  }
}
