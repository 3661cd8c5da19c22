import type { BusDelivery } from '@tidemark/bus';
import { BusError, TidemarkError } from '@tidemark/core';
import type { Job, JobEvent } from '../jobs/job.ts';
import { compareWishes, wishOf, type Wish } from '../jobs/wish.ts';
import { isOver, pause, type LinkedParts } from './fleet-parts.ts';
import { capturesHere, isAtCapture } from './at-capture.ts';
import { openNote, sendNotes, type OpenedNote } from './job-notes.ts';
import { LateOrders } from './late-orders.ts';
import { Outbox } from './outbox.ts';

/** Hosts with workers share the jobs out. */
const GROUP = 'workers';
/** Jobs of others that wait or run here; more stay in Kafka. */
const FOREIGN_MAX = 200;
/** Who runs a job says so at least so often. */
const ALIVE_EVERY_MS = 20_000;
/** Ends of jobs are told again for so long, when a process starts. */
const ENDED_MS = 24 * 3_600_000;
const TOLD_MAX = 500;
const NOTED_MAX = 4_096;

/** Takes jobs of other hosts in, and tells what becomes of them. */
export class WorkerExchange {
  readonly #parts: LinkedParts;
  readonly #news = new Outbox<JobEvent>('job-events');
  /** Which wish for each job was called off that was heard of: an order of it, or from before, does not count. */
  readonly #cancels = new Map<string, Wish>();
  /** Which wish each order was of that was taken in: a cancel from before is not of this order. */
  readonly #orders = new Map<string, Wish>();
  readonly #late: LateOrders;

  constructor(parts: LinkedParts) {
    this.#parts = parts;
    this.#late = new LateOrders(parts.clock);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { jobs, bus, host, clock, logger } = this.#parts;
    const forget = jobs.onEvent((event) => {
      if (this.#isForeign(event.job.id)) this.#news.put(event.job.id, event);
    });
    const send = (events: readonly JobEvent[]): Promise<void> =>
      sendNotes(
        this.#parts,
        'event',
        events.map((body) => ({ job: body.job, atMs: body.atMs, body })),
      );
    try {
      await Promise.all([
        bus.consume({
          group: GROUP,
          topics: ['jobs'],
          onMessage: (message) => this.#order(message),
          signal,
        }),
        // Read by every host: only one of them can do it.
        bus.consume({
          group: `capture-${host}`,
          topics: ['jobs'],
          onMessage: (message) => this.#orderHere(message, signal),
          signal,
        }),
        bus.consume({
          group: `control-${host}`,
          topics: ['job-control'],
          onMessage: (message) => this.#cancel(message),
          signal,
        }),
        this.#news.run({ clock, logger }, send, signal),
        this.#tellAlive(signal),
      ]);
    } finally {
      forget();
    }
  }

  async #order(message: BusDelivery): Promise<void> {
    const order = await openNote(this.#parts, 'order', message);
    if (isForAnybody(order)) this.#take(order);
  }

  /** What cannot be opened is parked by those who share the orders out. */
  async #orderHere(message: BusDelivery, signal: AbortSignal): Promise<void> {
    let order;
    try {
      order = await openNote(this.#parts, 'order', message);
    } catch (cause) {
      if (cause instanceof TidemarkError && !cause.retryable) return;
      throw cause;
    }
    if (isForAnybody(order) || order.host === this.#parts.host) return;
    if (await capturesHere(order.instance, this.#parts, signal)) this.#take(order);
  }

  #take({ job, atMs, host: asks, body }: OpenedNote<'order'>): void {
    const { jobs, host } = this.#parts;
    if (asks === host || !this.#late.isWanted(job, atMs)) return;
    const { wish: count = 0, anyone: _, ...asked } = body;
    const wish: Wish = { ordered: asked.attempt, count, atMs };
    const cancelled = this.#cancels.get(job);
    if (cancelled !== undefined && compareWishes(cancelled, wish) >= 0) return;
    if (this.#foreignCount() >= FOREIGN_MAX) {
      throw new BusError('TM_BUS_DOWN', 'this host has as many jobs of others as it takes');
    }
    note(this.#orders, job, wish);
    jobs.admit(asked, wish);
  }

  async #cancel(message: BusDelivery): Promise<void> {
    const { jobs, rows, state } = this.#parts;
    const { job, atMs, body } = await openNote(this.#parts, 'cancel', message);
    const { ordered = 0, wish: count = 0, actor } = body;
    const wish: Wish = { ordered, count, atMs };
    note(this.#cancels, job, wish);
    const fold = state.read(() => rows.fold(job));
    // An order that came later than it was called off is a wish that stands.
    const later = [this.#orders.get(job), fold === null ? undefined : wishOf(fold)];
    if (later.some((one) => one !== undefined && compareWishes(wish, one) < 0)) return;
    if (fold?.foreign === true && fold.job.endedMs === null && fold.job.state !== 'cancelling') {
      await jobs.cancel(job, actor);
    }
  }

  /** Again and again what is open, and what ended since; first what ended while nobody could be told. */
  async #tellAlive(signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#parts;
    for (let backMs = ENDED_MS; !isOver(signal); backMs = 3 * ALIVE_EVERY_MS) {
      const nowMs = clock.nowMs();
      const folds = state.read(() =>
        state
          .query<{ fold: string }>(
            `SELECT fold FROM jobs WHERE json_extract(fold, '$.foreign') = 1
               AND (ended_ms IS NULL OR ended_ms > ?) ORDER BY id DESC LIMIT ${TOLD_MAX}`,
          )
          .all(nowMs - backMs),
      );
      for (const { fold } of folds) {
        const { job } = JSON.parse(fold) as { readonly job: Job };
        this.#news.put(job.id, { seq: 0, atMs: nowMs, job });
      }
      await pause(clock, ALIVE_EVERY_MS, signal);
    }
  }

  #isForeign(id: string): boolean {
    const { rows, state } = this.#parts;
    return state.read(() => rows.fold(id))?.foreign === true;
  }

  #foreignCount(): number {
    const { state } = this.#parts;
    return state.read(
      () =>
        state
          .query<{ count: number }>(
            `SELECT count(*) AS count FROM jobs
             WHERE ended_ms IS NULL AND json_extract(fold, '$.foreign') = 1`,
          )
          .get()?.count ?? 0,
    );
  }
}

/** What nobody took who could do it goes to anybody, who says why not. */
function isForAnybody({ body: { kind, anyone = false } }: OpenedNote<'order'>): boolean {
  return anyone || !isAtCapture(kind);
}

/** The latest wish for each job; of more than 4,096 the oldest goes. */
function note(wishes: Map<string, Wish>, job: string, wish: Wish): void {
  const known = wishes.get(job);
  const newest = known !== undefined && compareWishes(known, wish) > 0 ? known : wish;
  wishes.delete(job);
  wishes.set(job, newest);
  const [oldest] = wishes.keys();
  if (wishes.size > NOTED_MAX && oldest !== undefined) wishes.delete(oldest);
}
