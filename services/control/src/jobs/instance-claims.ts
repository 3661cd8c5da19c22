import {
  isForgotten,
  jobRefusal,
  openInstanceLog,
  type InstanceLog,
  type JobEnded,
  type OpenJob,
} from '@tidemark/catalog';
import { CatalogError, TidemarkError, type Clock, type Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { endInLog } from './end-in-log.ts';
import type { Job } from './job.ts';
import type { JobFold } from './job-machine.ts';

/** Logs that are kept open. */
const LOGS_MAX = 256;
/** How long a claim in the log holds, in milliseconds; it is renewed at a third of that. */
export const LOG_CLAIM_MS = 60_000;
/** How long a worker counts on a claim that it could not renew: less than others wait for it. */
export const LOG_HOLD_MS = 50_000;
const SEEN_MAX = 4096;

/** What the log of an instance answers to a claim. */
export type ClaimAnswer =
  | { readonly kind: 'granted'; readonly attempt: number }
  /** Another worker has it, somewhere. */
  | { readonly kind: 'held'; readonly by: string }
  /** It was done, by another worker; this process knows it for so long, in milliseconds. */
  | { readonly kind: 'done'; readonly attempt: number; readonly knownMs: number }
  /** The log takes no claim of it now, but will. */
  | { readonly kind: 'full'; readonly why: string }
  /** So many ended since it was asked for that nobody can say whether it was done. */
  | { readonly kind: 'forgotten' };

/** Claims of jobs in the logs of their instances: what keeps hosts from doing a job twice. */
export class InstanceClaims {
  readonly #workspace: Pick<Workspace, 'store' | 'keys' | 'catalog'>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logs = new Map<string, Promise<InstanceLog>>();
  /** Claims of others as they were seen last, and since when they are as they are. */
  readonly #seen = new Map<string, { readonly held: OpenJob; readonly sinceMs: number }>();
  /** Since when each job is known here to be done elsewhere. */
  readonly #done = new Map<string, number>();

  constructor(
    workspace: Pick<Workspace, 'store' | 'keys' | 'catalog'>,
    clock: Clock,
    random: Random,
  ) {
    this.#workspace = workspace;
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Claims a job, where no attempt of it has ended since it was ordered. What another worker of the same
   * host holds is taken from it: the host knows that it is gone. What a worker of another one holds is taken
   * once its claim was seen unchanged for as long as it holds: no wall clock, which may be wrong here or
   * there, ends a claim or keeps it.
   * @param isOwner - Whether the database of the host says that this worker has it.
   * @throws StoreError; as `openInstanceLog`.
   */
  async claim(
    { job, ordered }: Pick<JobFold, 'job' | 'ordered'>,
    worker: string,
    isOwner: () => boolean,
  ): Promise<ClaimAnswer> {
    const log = await this.#log(job.instance);
    let least = Math.max(job.attempt, ordered) + 1;
    await log.append(({ jobs: { open } }) => {
      const held = open.find((one) => one.job === job.id);
      if (held === undefined || held.worker === worker) return null;
      if (!this.#isGone(held, worker, isOwner)) return null;
      least = Math.max(least, held.attempt + 1);
      const atMs = this.#clock.nowMs();
      return { type: 'JobEnded', job: job.id, worker: held.worker, outcome: 'waiting', atMs };
    });
    let answer: ClaimAnswer = { kind: 'forgotten' };
    await log.append(({ jobs }) => {
      const { open, ended } = jobs;
      const atMs = this.#clock.nowMs();
      const end = ended.find((one) => one.job === job.id && one.attempt > ordered);
      if (end !== undefined) {
        answer = { kind: 'done', attempt: end.attempt, knownMs: this.#knownFor(job.id) };
        return null;
      }
      if (isForgotten(jobs, job.id, atMs)) {
        answer = { kind: 'forgotten' };
        return null;
      }
      const held = open.find((one) => one.job === job.id);
      if (held !== undefined && held.worker !== worker) {
        answer = { kind: 'held', by: held.worker };
        return null;
      }
      this.#seen.delete(job.id);
      const untilMs = atMs + LOG_CLAIM_MS;
      const attempt = Math.max(least, held?.attempt ?? 1);
      const { id, kind, actor } = job;
      const claim = { kind, by: actor.name, worker, attempt, untilMs, atMs };
      const claimed = { type: 'JobClaimed', job: id, ...claim } as const;
      const why = jobRefusal(jobs, claimed);
      answer = why === null ? { kind: 'granted', attempt } : { kind: 'full', why };
      return why === null ? claimed : null;
    });
    return answer;
  }

  /** @throws CatalogError `TM_JOB_LOST` when another worker has it by now. */
  async renew(job: Job, worker: string): Promise<void> {
    const log = await this.#log(job.instance);
    await log.append(({ jobs: { open } }) => {
      if (!open.some((one) => one.job === job.id && one.worker === worker)) {
        throw new CatalogError('TM_JOB_LOST', `job ${job.id} was taken over by another worker`, {
          context: { job: job.id, worker },
        });
      }
      const untilMs = this.#clock.nowMs() + LOG_CLAIM_MS;
      return { type: 'JobRenewed', job: job.id, worker, untilMs };
    });
  }

  /** Says how an attempt ended. Of one that is another worker's by now nothing is said. */
  async end(job: Job, worker: string, outcome: JobEnded['outcome']): Promise<void> {
    const log = await this.#log(job.instance);
    await log.append(({ jobs: { open } }) => {
      const held = open.find((one) => one.job === job.id);
      if (held === undefined) return null;
      // A worker that starts says how jobs ended that the one before it, on this host, had.
      const isLeft = hostOf(held.worker) === hostOf(worker) && held.attempt <= job.attempt;
      if (held.worker !== worker && !isLeft) return null;
      const atMs = this.#clock.nowMs();
      return { type: 'JobEnded', job: job.id, worker: held.worker, outcome, atMs };
    });
  }

  /** How an attempt ended that another worker had; null where the log does not hold its end any more. */
  async outcomeOf(job: Job): Promise<Exclude<JobEnded['outcome'], 'waiting'> | null> {
    const { store, keys } = this.#workspace;
    const { state } = await this.#log(job.instance);
    const logKey = await keys.logKey(job.instance);
    return endInLog({ store, iid: job.instance, logKey }, state.seq, job.id);
  }

  #knownFor(job: string): number {
    const nowMs = this.#clock.monotonicMs();
    if (this.#done.size >= SEEN_MAX) this.#done.clear();
    const sinceMs = this.#done.get(job) ?? nowMs;
    this.#done.set(job, sinceMs);
    return nowMs - sinceMs;
  }

  #isGone(held: OpenJob, worker: string, isOwner: () => boolean): boolean {
    if (hostOf(held.worker) === hostOf(worker)) return isOwner();
    const nowMs = this.#clock.monotonicMs();
    const known = this.#seen.get(held.job);
    if (known?.held.worker === held.worker && known.held.untilMs === held.untilMs) {
      return nowMs - known.sinceMs >= LOG_CLAIM_MS;
    }
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
    this.#seen.set(held.job, { held, sinceMs: nowMs });
    return false;
  }

  async #log(iid: string): Promise<InstanceLog> {
    let log = this.#logs.get(iid);
    if (log === undefined) {
      if (this.#logs.size >= LOGS_MAX) this.#logs.clear();
      log = this.#open(iid);
      this.#logs.set(iid, log);
    }
    try {
      return await log;
    } catch (cause) {
      this.#logs.delete(iid);
      throw cause;
    }
  }

  async #open(iid: string): Promise<InstanceLog> {
    const { store, keys, catalog } = this.#workspace;
    const known = catalog.instances().find((state) => state.iid === iid);
    return openInstanceLog({
      ...{ store, iid, logKey: await keys.logKey(iid) },
      ...{ clock: this.#clock, random: this.#random, retry: { attempts: 2 } },
      ...(known === undefined ? {} : { from: known }),
    });
  }
}

/** A worker is named `HOST.PROCESS`. */
export function hostOf(worker: string): string {
  return worker.slice(0, worker.indexOf('.'));
}

/** Whether a fault goes away by itself: a job waits for that. */
export function isPassing(cause: unknown): boolean {
  return cause instanceof TidemarkError && cause.retryable;
}

/** Whether a claim that could not be logged is to be tried again: others that were faster are so in passing. */
export function isPassingClaim(cause: unknown): boolean {
  return isPassing(cause) || (cause instanceof TidemarkError && cause.code === 'TM_LOG_CONFLICT');
}
