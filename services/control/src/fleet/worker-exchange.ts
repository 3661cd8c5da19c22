import type { BusDelivery } from '@tidemark/bus';
import { BusError } from '@tidemark/core';
import type { Job, JobEvent } from '../jobs/job.ts';
import { isOver, pause, type LinkedParts } from './fleet-parts.ts';
import { openNote, sendNotes } from './job-notes.ts';
import { Outbox } from './outbox.ts';

/** Hosts with workers share the jobs out. */
const GROUP = 'workers';
/** Jobs of others that wait or run here; more stay in Kafka. */
const FOREIGN_MAX = 200;
/** An order that is older is not the last word: its host sends another one while it waits. */
const ORDER_MS_MAX = 3_600_000;
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
  /** When each job was cancelled that was heard of: an order from before does not count. */
  readonly #cancels = new Map<string, number>();
  /** When each job was ordered that was taken in: a cancel from before is not of this order. */
  readonly #orders = new Map<string, number>();

  constructor(parts: LinkedParts) {
    this.#parts = parts;
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
    const { jobs, clock, host } = this.#parts;
    const order = await openNote(this.#parts, 'order', message);
    if (order.host === host || clock.nowMs() - order.atMs > ORDER_MS_MAX) return;
    if ((this.#cancels.get(order.job) ?? -1) >= order.atMs) return;
    if (this.#foreignCount() >= FOREIGN_MAX) {
      throw new BusError('TM_BUS_DOWN', 'this host has as many jobs of others as it takes');
    }
    note(this.#orders, order.job, order.atMs);
    jobs.admit(order.body, order.atMs);
  }

  async #cancel(message: BusDelivery): Promise<void> {
    const { jobs, rows, state } = this.#parts;
    const { job, atMs, body } = await openNote(this.#parts, 'cancel', message);
    note(this.#cancels, job, atMs);
    const fold = state.read(() => rows.fold(job));
    // An order that came later than it was called off is a wish that stands.
    if (atMs < Math.max(this.#orders.get(job) ?? 0, fold?.wishedMs ?? 0)) return;
    if (fold?.foreign === true && fold.job.endedMs === null && fold.job.state !== 'cancelling') {
      await jobs.cancel(job, body.actor);
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

/** The newest time of each job; of more than 4,096 the oldest goes. */
function note(times: Map<string, number>, job: string, atMs: number): void {
  const newest = Math.max(atMs, times.get(job) ?? atMs);
  times.delete(job);
  times.set(job, newest);
  const [oldest] = times.keys();
  if (times.size > NOTED_MAX && oldest !== undefined) times.delete(oldest);
}
