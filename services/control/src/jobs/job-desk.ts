import { createHmac } from 'node:crypto';
import { CatalogError, makeId, UsageError, type Clock, type Random } from '@tidemark/core';
import type { Audit } from '../audit/audit.ts';
import { auditDetail } from './audit-detail.ts';
import type {
  Actor,
  Job,
  JobDesk,
  JobEvent,
  JobHandler,
  JobKind,
  JobLine,
  JobOrder,
  JobQuestion,
  Json,
} from './job.ts';
import {
  decide,
  evolve,
  isOver,
  newFold,
  type JobClaim,
  type JobCommand,
  type JobFold,
} from './job-machine.ts';
import { JobNews, type JobListener } from './job-news.ts';
import type { JobRows } from './job-rows.ts';
import { isTakenBack } from './left-job.ts';
import { foldOfTold } from './told-job.ts';
import type { Wish } from './wish.ts';

/** Jobs that may be open at one time on a host; so many of them only policies may open, which ask by themselves. */
const OPEN_MAX = 1000;
const POLICY_OPEN = 200;
/** Open jobs of one actor, but policies, so that nobody takes the places of all. */
const ACTOR_OPEN_MAX = 200;
/** Characters that open jobs of one actor may have, so that nobody takes the room of all. */
const OPEN_CHARS_MAX = 16 << 20;
const REQUEST_CHARS_MAX = 1 << 20;
/** How long a key names the job that it made, in milliseconds. */
const KEY_MS = 24 * 3_600_000;
const POLL_MS = 250;
const EVENTS_READ = 64;
/** Changes that nobody is told of. */
const UNTOLD: ReadonlySet<string> = new Set(['beaten', 'failing', 'taking-back', 'taken-back']);

/** What the desk is made of. */
export interface DeskParts {
  readonly rows: JobRows;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly random: Random;
  /** What digests of orders are keyed with: an order may hold a password. */
  readonly digestKey: () => Promise<Buffer>;
}

/** The desk of a host: its jobs lie in the state folder, where every process of the host sees them. */
export class LocalJobDesk implements JobDesk {
  readonly #parts: DeskParts;
  readonly #handlers = new Map<JobKind, JobHandler>();
  readonly news: JobNews = new JobNews();

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /** Takes up who does the jobs of a kind. */
  use(handler: JobHandler): void {
    this.#handlers.set(handler.kind, handler);
  }

  /** @throws UsageError `TM_USAGE` for a kind that nobody here does. */
  handler(kind: JobKind): JobHandler {
    const handler = this.#handlers.get(kind);
    if (handler !== undefined) return handler;
    throw new UsageError('TM_USAGE', `jobs of kind ${kind} are not done here`);
  }

  async submit(
    order: JobOrder,
    key?: { readonly actor: string; readonly key: string },
  ): Promise<Job> {
    const digest = key === undefined ? '' : digestOf(order, await this.#parts.digestKey());
    const before = key === undefined ? null : this.#madeBefore(key, digest);
    if (before !== null) return before;
    const handler = this.handler(order.kind);
    const request = await handler.check(order);
    const whole: JobOrder = { ...order, request };
    const chars = JSON.stringify(request).length;
    if (chars > REQUEST_CHARS_MAX) {
      throw new UsageError('TM_USAGE', 'the request is over the limit of 1 MiB');
    }
    const exclusive = handler.exclusive(whole);
    const { rows, clock, random, audit } = this.#parts;
    const nowMs = clock.nowMs();
    const { kind, instance, actor } = order;
    const id = `job-${makeId(nowMs, random)}`;
    const made = rows.db.write(() => {
      const again = key === undefined ? null : this.#madeBefore(key, digest);
      if (again !== null) return again;
      if (exclusive !== null) this.#refuseBeside(exclusive);
      this.#refuseMore(actor);
      this.#refuseLarge(actor, chars);
      rows.makeRoom();
      const fold = newFold({ id, kind, instance, actor, request, createdMs: nowMs });
      const event = rows.save(fold, exclusive, nowMs);
      if (key !== undefined) this.#noteKey(key, digest, id, nowMs);
      const detail = auditDetail(order.request);
      audit.append({ actor, action: `job.submit.${kind}`, instance, job: id, detail });
      return event;
    });
    if (!('seq' in made)) return made;
    this.news.tell(made);
    return made.job;
  }

  get(id: string): Job {
    return this.#known(id).job;
  }

  list(question: JobQuestion): {
    readonly jobs: readonly Job[];
    readonly nextPageToken: string | null;
  } {
    const { rows } = this.#parts;
    const { pageToken } = question;
    if (pageToken !== undefined && !/^job-[a-z0-9]{1,59}$/.test(pageToken)) {
      throw new UsageError('TM_USAGE', 'the page token is not one of ours');
    }
    const jobs = rows.db.read(() => rows.list(question, pageToken ?? null));
    const isFull = jobs.length >= Math.max(1, Math.min(500, Math.floor(question.pageSize)));
    return { jobs, nextPageToken: isFull ? (jobs.at(-1)?.id ?? null) : null };
  }

  async *follow(id: string, afterSeq: number, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const { rows } = this.#parts;
    this.#known(id);
    for (let seq = afterSeq; !signal.aborted;) {
      const head = rows.db.read(() => rows.head(id)) ?? { ...this.#known(id).job, seq: 0 };
      if (head.seq <= seq) {
        if (isOver(head)) return;
        await this.news.wait(POLL_MS, signal);
        continue;
      }
      const events = rows.db.read(() => rows.events(id, seq, EVENTS_READ));
      for (const event of events) {
        seq = event.seq;
        yield event;
      }
      if (events.length === 0) seq = head.seq; // the oldest events are gone
    }
  }

  lines(id: string, afterSeq: number, max: number): readonly JobLine[] {
    const { rows } = this.#parts;
    this.#known(id);
    return rows.db.read(() => rows.lines(id, afterSeq, max));
  }

  async cancel(id: string, actor: Actor): Promise<Job> {
    return Promise.resolve(this.#ask(id, actor, 'job.cancel', 'cancel'));
  }

  async resume(id: string, actor: Actor): Promise<Job> {
    return Promise.resolve(this.#ask(id, actor, 'job.resume', 'resume'));
  }

  /** Told of every change that this process makes. @returns Ends the listening. */
  onEvent(listener: JobListener): () => void {
    return this.news.onEvent(listener);
  }

  /**
   * Takes in a job of another host, to be done here. One that is known stays as it is.
   * @param job - As it was ordered: `attempt` is the last one of before the order.
   * @param wish - Which wish of its host it is.
   */
  admit(job: Job, wish: Pick<Wish, 'count' | 'atMs'> = { count: 0, atMs: 0 }): void {
    const { rows, clock } = this.#parts;
    const nowMs = clock.nowMs();
    const wished = { orderedMs: nowMs, wishedMs: wish.atMs, wishes: wish.count };
    const event = rows.db.write(() => {
      const known = rows.fold(job.id);
      if (known?.foreign === true && !isOver(known.job)) {
        const ordered = Math.max(known.ordered, job.attempt);
        const attempt = Math.max(known.job.attempt, job.attempt);
        const again = { ...known.job, attempt };
        rows.saveClaim({ ...known, job: again, ordered, ...wished });
        return null;
      }
      if (known !== null && !isOver(known.job)) return null;
      // It is ordered again while nobody has it.
      if (known !== null && isTakenBack(known, nowMs)) return null;
      if (known !== null && known.job.attempt > job.attempt) {
        if (known.foreign) return null;
        // It was read back from the store, which does not say whose it is: its host waits for this end.
        const its = { foreign: true, ordered: job.attempt, ...wished };
        return rows.save({ ...known, ...its }, null, nowMs);
      }
      const { id, kind, instance, actor, request, createdMs } = job;
      const made = newFold({ id, kind, instance, actor, request, createdMs });
      const again = { ...made.job, attempt: job.attempt };
      const foreign = { foreign: true, ordered: job.attempt, notBeforeMs: nowMs };
      return rows.save({ ...made, job: again, ...foreign, ...wished }, null, nowMs);
    });
    if (event !== null) this.news.tell(event);
  }

  /**
   * Takes in what another host did with a job of this one. No time that it states counts here.
   * @param host - Name of this host.
   * @param isSilent - Whether a claim was not heard of for as long as one holds.
   */
  applyRemote(
    { job }: JobEvent,
    host: string,
    isSilent: (id: string, claim: JobClaim) => boolean = () => false,
  ): void {
    const { rows, clock } = this.#parts;
    const event = rows.db.write(() => {
      const known = rows.fold(job.id);
      if (known === null) return null;
      const { claim } = known;
      const nowMs = clock.nowMs();
      const silent = claim !== null && isSilent(job.id, claim);
      const next = foldOfTold(known, job, { host, nowMs, isSilent: silent });
      if (next === null) return null;
      return rows.save(next, isOver(job) ? null : rows.exclusiveOf(job.id), nowMs);
    });
    if (event !== null) this.news.tell(event);
  }

  /**
   * Carries out a command on a job; of one that it leaves as it is nobody is told.
   * @throws As `decide`; UsageError `TM_NOT_FOUND`.
   */
  command(id: string, command: JobCommand): JobFold {
    const { rows, clock } = this.#parts;
    const { fold, event } = rows.db.write(() => {
      const known = this.#known(id);
      const change = decide(known, command);
      if (change === null) return { fold: known, event: null };
      const next = evolve(known, change);
      if (change.type === 'resumed') this.#refuseMore(known.job.actor);
      if (UNTOLD.has(change.type)) {
        rows.saveClaim(next);
        return { fold: next, event: null };
      }
      const saved = rows.save(next, this.#exclusiveAfter(next), clock.nowMs());
      return { fold: next, event: saved };
    });
    if (event !== null) this.news.tell(event);
    return fold;
  }

  /** Kinds that are done here. */
  get kinds(): readonly JobKind[] {
    return [...this.#handlers.keys()];
  }

  #ask(id: string, actor: Actor, action: string, type: 'cancel' | 'resume'): Job {
    const { rows, audit, clock } = this.#parts;
    const { job } = rows.db.write(() => {
      const nowMs = clock.nowMs();
      const { instance } = this.#known(id).job;
      const fold = this.command(id, type === 'cancel' ? { type, actor, nowMs } : { type, nowMs });
      audit.append({ actor, action, instance, job: id, detail: '' });
      rows.addLine(id, {
        atMs: nowMs,
        level: 'info',
        message: `${type} asked for by ${actor.name}`,
      });
      return fold;
    });
    return job;
  }

  /** What an open job may not run beside. @throws CatalogError `TM_JOB_BUSY`. */
  #exclusiveAfter({ job }: JobFold): string | null {
    const { rows } = this.#parts;
    if (isOver(job)) return null;
    const held = rows.exclusiveOf(job.id);
    if (held !== null) return held;
    const { kind, instance, request, actor } = job;
    // Who only looks and cancels knows no handlers: the right that a job holds is in its row.
    const handler = this.#handlers.get(kind);
    const wanted = handler?.exclusive({ kind, instance, request, actor }) ?? null;
    if (wanted !== null) this.#refuseBeside(wanted);
    return wanted;
  }

  #refuseMore(actor: Actor): void {
    const { rows } = this.#parts;
    const isPolicy = actor.via === 'policy';
    const all = { open: rows.openCount(), max: OPEN_MAX - (isPolicy ? 0 : POLICY_OPEN) };
    const own = { open: isPolicy ? 0 : rows.openCountOf(actor), max: ACTOR_OPEN_MAX };
    const isAll = all.open >= all.max;
    if (!isAll && own.open < own.max) return;
    const { open, max } = isAll ? all : own;
    const whose = isAll ? '' : ` of ${actor.name}`;
    throw new CatalogError('TM_JOB_LIMIT', `${open} jobs${whose} are open`, {
      context: { open, max },
      hint: 'wait for some of them to end, or cancel them',
    });
  }

  #refuseLarge(actor: Actor, chars: number): void {
    const open = this.#parts.rows.openChars(actor);
    if (open + chars <= OPEN_CHARS_MAX) return;
    throw new CatalogError('TM_JOB_LIMIT', `open jobs of ${actor.name} take all the room of one`, {
      context: { open, wanted: chars, max: OPEN_CHARS_MAX },
      hint: 'wait for some of them to end, or cancel them',
    });
  }

  #refuseBeside(exclusive: string): void {
    const holder = this.#parts.rows.holderOf(exclusive);
    if (holder === null) return;
    throw new CatalogError('TM_JOB_BUSY', `job ${holder} is open`, {
      context: { job: holder, kind: this.#known(holder).job.kind, exclusive },
      hint: `tidemark job watch ${holder}`,
    });
  }

  #madeBefore({ actor, key }: KeyOf, digest: string): Job | null {
    const { rows, clock } = this.#parts;
    const known = rows.db.read(() =>
      rows.db
        .query<{ job: string; digest: string }>(
          'SELECT job, digest FROM job_keys WHERE actor = ? AND key = ? AND at_ms > ?',
        )
        .get(...[actor, key, clock.nowMs() - KEY_MS]),
    );
    if (known === undefined) return null;
    if (known.digest === digest) return this.get(known.job);
    throw new CatalogError('TM_IDEMPOTENCY', 'the key was used before, for another request', {
      context: { job: known.job },
      hint: 'use a new key for a new request',
    });
  }

  #noteKey({ actor, key }: KeyOf, digest: string, job: string, atMs: number): void {
    const { db } = this.#parts.rows;
    db.run('DELETE FROM job_keys WHERE at_ms <= ?', atMs - KEY_MS);
    db.run(
      'INSERT OR REPLACE INTO job_keys (actor, key, digest, job, at_ms) VALUES (?, ?, ?, ?, ?)',
      ...[actor, key, digest, job, atMs],
    );
  }

  #known(id: string): JobFold {
    const { rows } = this.#parts;
    const fold = rows.db.read(() => rows.fold(id));
    if (fold !== null) return fold;
    throw new UsageError('TM_NOT_FOUND', `there is no job ${id}`, {
      hint: 'tidemark job list',
    });
  }
}

interface KeyOf {
  readonly actor: string;
  readonly key: string;
}

function digestOf({ kind, instance, request }: JobOrder, key: Buffer): string {
  const text = JSON.stringify([kind, instance, sorted(request)]);
  return createHmac('sha256', key).update(text).digest('hex');
}

/** The same request in another order of its fields is the same. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as { readonly [name: string]: Json });
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, each]) => [name, sorted(each)]),
  );
}
