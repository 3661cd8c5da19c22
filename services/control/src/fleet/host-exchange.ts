import type { BusDelivery } from '@tidemark/bus';
import type { JobEvent } from '../jobs/job.ts';
import { readFold } from '../jobs/job-rows.ts';
import { isOver, pause, type LinkedParts } from './fleet-parts.ts';
import { openNote, sendNotes, type JobWish } from './job-notes.ts';
import { Outbox } from './outbox.ts';

/** How often an order is sent again while nobody has it. */
const ORDER_EVERY_MS = 30_000;
const LOOK_MS = 500;
const CANCEL_EVERY_MS = 5_000;
const ORDERS_MAX = 500;

/** Gives jobs of this host to workers of others, and takes in what they tell. */
export class HostExchange {
  readonly #parts: LinkedParts;
  readonly #cancels = new Outbox<JobWish>('job-control');
  readonly #orders = new Outbox<JobWish>('jobs');
  readonly #sentMs = new Map<string, number>();
  /** While what another host tells is put down: it is no wish of this one. */
  #isApplying = false;

  constructor(parts: LinkedParts) {
    this.#parts = parts;
  }

  /** @param gives - Whether jobs are to be done elsewhere: this host has no workers. */
  async run(gives: boolean, signal: AbortSignal): Promise<void> {
    const { jobs, bus, host } = this.#parts;
    const forget = jobs.onEvent((event) => this.#note(event));
    const ports = this.#parts;
    try {
      await Promise.all([
        bus.consume({
          group: `api-${host}`,
          topics: ['job-events'],
          onMessage: (message) => this.#event(message),
          signal,
        }),
        this.#cancels.run(ports, (all) => this.#sendCancels(all), signal),
        this.#orders.run(ports, (all) => this.#sendOrders(all), signal),
        this.#look(gives, signal),
      ]);
    } finally {
      forget();
    }
  }

  #note({ job, atMs }: JobEvent): void {
    if (this.#isApplying || this.#isForeign(job.id)) return;
    if (job.state === 'queued') this.#sentMs.delete(job.id);
    // Workers that never had it pass over it.
    if (job.state === 'cancelling' || job.state === 'cancelled') {
      this.#cancels.put(job.id, { job, atMs });
    }
  }

  async #event(message: BusDelivery): Promise<void> {
    const { jobs, rows, state, host, clock } = this.#parts;
    const note = await openNote(this.#parts, 'event', message);
    if (note.host === host) return;
    const own = state.read(() => rows.fold(note.job));
    if (own === null || own.foreign) return;
    const isStopped = own.job.state === 'cancelled' && note.body.job.endedMs === null;
    if (isStopped) this.#cancels.put(note.job, { job: own.job, atMs: clock.nowMs() });
    this.#isApplying = true;
    try {
      jobs.applyRemote(note.body, host);
    } finally {
      this.#isApplying = false;
    }
  }

  /** What other processes of this host wrote, too, and what nobody has answered yet. */
  async #look(gives: boolean, signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#parts;
    for (let cancelsMs = -Infinity; !isOver(signal);) {
      await pause(clock, LOOK_MS, signal);
      const nowMs = clock.nowMs();
      if (nowMs - cancelsMs >= CANCEL_EVERY_MS) {
        cancelsMs = nowMs;
        this.#cancelAgain();
      }
      if (!gives) continue;
      const waiting = state.read(() =>
        state
          .query<{ id: string; fold: string }>(
            `SELECT id, fold FROM jobs WHERE ended_ms IS NULL AND json_extract(fold, '$.foreign') = 0
               AND CASE WHEN worker IS NULL THEN not_before_ms <= ? ELSE until_ms <= ? END
             ORDER BY not_before_ms, id LIMIT ${ORDERS_MAX}`,
          )
          .all(nowMs, nowMs),
      );
      for (const { id, fold } of waiting) {
        if (nowMs - (this.#sentMs.get(id) ?? -Infinity) < ORDER_EVERY_MS) continue;
        this.#sentMs.set(id, nowMs);
        const { job, ordered } = readFold(fold);
        // Any end of a later attempt is an end of this order, whether it was heard of here or not.
        this.#orders.put(id, { job: { ...job, attempt: ordered }, atMs: nowMs });
      }
      if (this.#sentMs.size > 2 * ORDERS_MAX) {
        const open = new Set(waiting.map(({ id }) => id));
        for (const id of [...this.#sentMs.keys()]) if (!open.has(id)) this.#sentMs.delete(id);
      }
    }
  }

  #cancelAgain(): void {
    const { state, clock } = this.#parts;
    const atMs = clock.nowMs();
    const cancelling = state.read(() =>
      state
        .query<{ id: string; fold: string }>(
          `SELECT id, fold FROM jobs WHERE ended_ms IS NULL AND state = 'cancelling'
             AND json_extract(fold, '$.foreign') = 0 LIMIT ${ORDERS_MAX}`,
        )
        .all(),
    );
    for (const { id, fold } of cancelling) {
      this.#cancels.put(id, { job: readFold(fold).job, atMs });
    }
  }

  #sendOrders(all: readonly JobWish[]): Promise<void> {
    return sendNotes(
      this.#parts,
      'order',
      all.map(({ job, atMs }) => ({ job, atMs, body: job })),
    );
  }

  /** One that was resumed while its cancel waited, by whatever process, is not called off any more. */
  #sendCancels(all: readonly JobWish[]): Promise<void> {
    const { rows, state } = this.#parts;
    const standing = all.filter(({ job }) => {
      const now = state.read(() => rows.standing(job.id))?.state;
      return now === 'cancelling' || now === 'cancelled';
    });
    return sendNotes(
      this.#parts,
      'cancel',
      standing.map(({ job, atMs }) => ({ job, atMs, body: { actor: job.actor } })),
    );
  }

  #isForeign(id: string): boolean {
    const { rows, state } = this.#parts;
    return state.read(() => rows.fold(id))?.foreign === true;
  }
}
