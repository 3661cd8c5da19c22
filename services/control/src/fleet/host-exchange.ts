import type { BusDelivery } from '@tidemark/bus';
import type { JobEvent } from '../jobs/job.ts';
import { PAUSE_MS_MAX, type JobClaim, type JobFold } from '../jobs/job-machine.ts';
import { readFold } from '../jobs/job-rows.ts';
import { RUNNER_TIMING } from '../jobs/job-runner.ts';
import { SilentClaims, type SeenClaim } from '../jobs/silent-claims.ts';
import { wishOf } from '../jobs/wish.ts';
import { isAtCapture } from './at-capture.ts';
import { isOver, pause, type LinkedParts } from './fleet-parts.ts';
import { openNote, sendNotes, type JobWish } from './job-notes.ts';
import { Outbox } from './outbox.ts';

/** How often an order is sent again while nobody has it. */
const ORDER_EVERY_MS = 30_000;
/** Of a job that is done where its instance is captured: after so many orders that nobody took it is for anybody. */
const ORDERS_ALONE = 6;
const LOOK_MS = 500;
const CANCEL_EVERY_MS = 5_000;
const ORDERS_MAX = 500;
const CLAIMS_MAX = 4_096;

/** Gives jobs of this host to workers of others, and takes in what they tell. */
export class HostExchange {
  readonly #parts: LinkedParts;
  readonly #cancels = new Outbox<JobWish>('job-control');
  readonly #orders = new Outbox<JobWish>('jobs');
  /** When each job was ordered last, and how often. */
  readonly #sent = new Map<string, { readonly ms: number; readonly times: number }>();
  readonly #claims: SilentClaims;
  #silent: ReadonlyMap<string, JobClaim> = new Map();
  /** While what another host tells is put down: it is no wish of this one. */
  #isApplying = false;

  constructor(parts: LinkedParts) {
    this.#parts = parts;
    this.#claims = new SilentClaims(parts.clock, `${parts.host}.`, RUNNER_TIMING.claimMs);
  }

  /**
   * @param gives - Whether jobs are to be done elsewhere: this host has no workers. What it leaves to others in
   *   any case it gives, too.
   */
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
    if (job.state === 'queued') this.#sent.delete(job.id);
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
      jobs.applyRemote(note.body, host, (id, claim) => this.#isSilent(id, claim));
    } finally {
      this.#isApplying = false;
    }
  }

  /** What other processes of this host wrote, too, and what nobody has answered yet. */
  async #look(gives: boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    for (let cancelsMs = -Infinity; !isOver(signal);) {
      await pause(clock, LOOK_MS, signal);
      const nowMs = clock.monotonicMs();
      if (nowMs - cancelsMs >= CANCEL_EVERY_MS) {
        cancelsMs = nowMs;
        this.#cancelAgain();
      }
      this.#silent = this.#claims.look(this.#claimed());
      this.#order(nowMs, gives);
    }
  }

  /** Orders what waits, and what nobody is heard of any more that has it. */
  #order(nowMs: number, gives: boolean): void {
    const { clock, captures } = this.#parts;
    const theirs = gives ? null : captures.left();
    if (!gives && theirs === null) return;
    const waiting = this.#waiting(clock.nowMs());
    const untaken = new Set<string>();
    for (const fold of waiting) {
      const { kind, instance } = fold.job;
      if (theirs !== null && (!theirs.kinds.includes(kind) || theirs.here.has(instance))) continue;
      const { job, ordered } = fold;
      const { id } = job;
      const { ms, times } = this.#sent.get(id) ?? { ms: -Infinity, times: 0 };
      if (times > ORDERS_ALONE) untaken.add(id);
      if (nowMs - ms < ORDER_EVERY_MS) continue;
      this.#sent.set(id, { ms: nowMs, times: times + 1 });
      // Any end of a later attempt is an end of this order, whether it was heard of here or not.
      const anyone = times >= ORDERS_ALONE && isAtCapture(job.kind);
      const wished = { ...job, attempt: ordered, wish: wishOf(fold).count, anyone };
      this.#orders.put(id, { job: wished, atMs: clock.nowMs() });
    }
    captures.noteUntaken(untaken);
    if (this.#sent.size > 2 * ORDERS_MAX) {
      const open = new Set(waiting.map(({ job }) => job.id));
      for (const id of [...this.#sent.keys()]) if (!open.has(id)) this.#sent.delete(id);
    }
  }

  #claimed(): readonly SeenClaim[] {
    const { state } = this.#parts;
    return state.read(() =>
      state
        .query<{ id: string; worker: string; until_ms: number }>(
          `SELECT id, worker, until_ms FROM jobs WHERE ended_ms IS NULL AND worker IS NOT NULL
             AND json_extract(fold, '$.foreign') = 0 LIMIT ${CLAIMS_MAX}`,
        )
        .all()
        .map(({ id, worker, until_ms: untilMs }) => ({ id, worker, untilMs })),
    );
  }

  #waiting(nowMs: number): readonly JobFold[] {
    const { state } = this.#parts;
    const silent = JSON.stringify([...this.#silent.keys()]);
    return state.read(() =>
      state
        .query<{ fold: string }>(
          `SELECT fold FROM jobs WHERE ended_ms IS NULL AND json_extract(fold, '$.foreign') = 0
             AND CASE WHEN worker IS NULL THEN not_before_ms <= ? OR not_before_ms > ?
                 ELSE id IN (SELECT value FROM json_each(?)) END
           ORDER BY not_before_ms, id LIMIT ${ORDERS_MAX}`,
        )
        .all(nowMs, nowMs + PAUSE_MS_MAX, silent)
        .map(({ fold }) => readFold(fold)),
    );
  }

  #isSilent(id: string, { worker, untilMs }: JobClaim): boolean {
    const silent = this.#silent.get(id);
    return silent?.worker === worker && silent.untilMs === untilMs;
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
    const standing = all.flatMap(({ job, atMs }) => {
      const fold = state.read(() => rows.fold(job.id));
      if (fold?.job.state !== 'cancelling' && fold?.job.state !== 'cancelled') return [];
      const { ordered, count: wish } = wishOf(fold);
      return [{ job, atMs, body: { actor: job.actor, ordered, wish } }];
    });
    return sendNotes(this.#parts, 'cancel', standing);
  }

  #isForeign(id: string): boolean {
    const { rows, state } = this.#parts;
    return state.read(() => rows.fold(id))?.foreign === true;
  }
}
