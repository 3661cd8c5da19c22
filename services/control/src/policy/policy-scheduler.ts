import type { Logger } from '@tidemark/archiver';
import type { InstanceState } from '@tidemark/catalog';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Actor, Job, JobDesk } from '../jobs/job.ts';
import type { CatalogKeeper } from '../queries/catalog-keeper.ts';
import type { PolicyRun } from './policy.ts';
import type { InstanceTimes, LocalPolicyDesk } from './policy-desk.ts';
import { afterFailure } from './after-failure.ts';
import { runsOfSnapshots } from './runs-of-snapshots.ts';
import type { RunRows } from './run-rows.ts';

/** How often it is looked whether a run is due: a clock that steps wakes nobody. */
const LOOK_MS = 5_000;
/** How old what is known of a policy may be while nothing is due. */
const POLICY_AGE_MS = 300_000;
/** A run that begins later than this was missed, and is caught up. */
const LATE_MS = 60_000;
/** Runs of one instance that are noted as missed at one time. */
const MISSED_MAX = 100;
/** A run that is noted so far ahead was noted by a clock that was wrong, and is made at its time. */
const AHEAD_MS = 48 * 3_600_000;
/** Before this release was made: the clock of the host was not set yet. */
const UNSET_MS = Date.UTC(2026, 0, 1);
/** Pause after a backup could not be asked for, for a reason that passes. */
const AGAIN_MS = 60_000;
/** Runs of one instance that may be open at one time. */
const OPEN_MAX = 8;

const ACTOR: Actor = { name: 'policy', via: 'policy' };
/** What of a job was in the way says its context. */
const REFUSED: ReadonlySet<string> = new Set(['TM_JOB_BUSY', 'TM_BUSY']);
/** They pass, whatever their code says of other callers. */
const PASSING: ReadonlySet<string> = new Set(['TM_JOB_LIMIT', 'TM_STATE_FULL', 'TM_STATE_DB']);

/** What a scheduler works with. */
export interface PolicySchedulerParts {
  readonly desk: LocalPolicyDesk;
  readonly rows: RunRows;
  readonly jobs: Pick<JobDesk, 'submit' | 'get'>;
  readonly fresh: Pick<CatalogKeeper, 'of'>;
  /** What is known without asking the store. */
  readonly known: Pick<Awaited<ReturnType<CatalogKeeper['of']>>, 'instance' | 'snapshots'>;
  /** Instances whose backups this host makes. */
  readonly instances: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Runs whose time has come and that are not noted, in order. */
interface Due {
  readonly runs: readonly number[];
  readonly times: InstanceTimes;
}

/** A run that was asked for and is not known to be made. */
interface OpenRun {
  readonly dueMs: number;
  readonly job: string;
  /** How often it was asked for again since this process began. */
  readonly tries: number;
  /** Its job has failed: the monotonic time at which it is asked for again. */
  readonly againMs: number | null;
}

/** What is remembered of an instance between two looks. */
interface Watched {
  /** Monotonic: what was read of its log is younger than this. */
  readMs: number;
  /** Monotonic: nothing is asked for before. */
  notBeforeMs: number;
  /** The run that is late, and the monotonic time at which it begins. */
  late: { readonly dueMs: number; readonly atMs: number } | null;
  /** Runs whose job is not over yet, or has failed and is asked for again; the newest first. */
  open: readonly OpenRun[];
  /** Nothing is due between two instants, as long as the policy is this entry of the log. */
  idle: { readonly fromMs: number; readonly untilMs: number; readonly seq: number } | null;
}

/**
 * Asks for the backups that policies name, each once.
 *
 * A run is known by the time that the policy names: whatever the clock does, and however many
 * processes look, one that is noted is not made again. Of runs that were missed the newest is caught
 * up. Steps of the clock are found by looking every few seconds.
 */
export class PolicyScheduler {
  readonly #parts: PolicySchedulerParts;
  readonly #watched = new Map<string, Watched>();
  #isUnset = false;

  constructor(parts: PolicySchedulerParts) {
    this.#parts = parts;
  }

  /** Runs until the signal is aborted. What one instance runs into stops no other one. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      await this.lookAt(clock.nowMs(), signal);
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  /** Looks once at every instance. */
  async lookAt(nowMs: number, signal: AbortSignal): Promise<void> {
    const { instances, logger } = this.#parts;
    // What was noted since would be forgotten, and called missed once the clock is set.
    if (nowMs < UNSET_MS) {
      if (!this.#isUnset) logger.warn('policy-clock-is-not-set', { now: iso(nowMs) });
      this.#isUnset = true;
      return;
    }
    this.#isUnset = false;
    for (const instance of instances()) {
      if (signal.aborted) return;
      try {
        await this.#look(instance, nowMs);
      } catch (cause) {
        const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
        const error = cause instanceof Error ? cause.message : String(cause);
        logger.warn('policy', { instance, code, error });
        this.#watch(instance).notBeforeMs = this.#parts.clock.monotonicMs() + AGAIN_MS;
      }
    }
  }

  async #look(instance: string, nowMs: number): Promise<void> {
    const { clock, rows } = this.#parts;
    const watched = this.#watch(instance);
    if (clock.monotonicMs() < watched.notBeforeMs) return;
    await this.#settle(instance, watched, nowMs);
    if (clock.monotonicMs() - watched.readMs >= POLICY_AGE_MS) await this.#read(instance, watched);
    if (this.#due(instance, watched, nowMs) === null) return;
    // The policy may be another one by now, and another host may have made the backup.
    await this.#read(instance, watched);
    if (rows.forgetAfter(instance, nowMs + AHEAD_MS) > 0) {
      this.#parts.logger.warn('policy-clock-was-ahead', { instance });
    }
    const due = this.#due(instance, watched, nowMs);
    if (due === null || this.#isDelayed(watched, due, nowMs)) return;
    await this.#begin(instance, due.runs, nowMs);
    watched.late = null;
    const begun = this.#openRuns(instance, 1);
    // A job of a run before may go on for longer than until the next one is due.
    const before = watched.open.filter(({ dueMs }) => dueMs !== begun[0]?.dueMs);
    watched.open = [...begun, ...before].slice(0, OPEN_MAX);
  }

  /** Runs whose time has come and that are not noted, in order; null = none. */
  #due(instance: string, watched: Watched, nowMs: number): Due | null {
    const { desk, rows, known } = this.#parts;
    const state = known.instance(instance);
    if (state.iid === null || state.removedMs !== null) return null;
    const seq = state.policySet?.seq ?? -1;
    const { idle } = watched;
    if (idle?.seq === seq && nowMs >= idle.fromMs && nowMs < idle.untilMs) return null;
    const { policy } = desk.viewOf(instance, state);
    const times = desk.timesOf(instance, policy);
    if (times === null) return null;
    const toMs = nowMs - times.staggerMs;
    const newest = rows.newest(instance, toMs);
    // A run whose place in the spread is still to come is one to come, as everybody is told.
    const since = Math.max(newest ?? -Infinity, beginOf(state, nowMs) - times.staggerMs);
    // A host that has noted nothing yet does not know what was made before its time.
    const runs = times.table
      .between(since, toMs, newest === null ? 1 : MISSED_MAX)
      .filter((dueMs) => !rows.has(instance, dueMs));
    if (runs.length > 0) return { runs, times };
    const next = times.table.next(toMs);
    if (next !== null) watched.idle = { fromMs: nowMs, untilMs: next + times.staggerMs, seq };
    return null;
  }

  /** What is late was late for others too: they do not begin all at once either. */
  #isDelayed(watched: Watched, { runs, times: { staggerMs } }: Due, nowMs: number): boolean {
    const { clock } = this.#parts;
    const dueMs = runs.at(-1) ?? nowMs;
    if (nowMs - dueMs - staggerMs <= LATE_MS) return false;
    if (watched.late?.dueMs !== dueMs) {
      watched.late = { dueMs, atMs: clock.monotonicMs() + staggerMs };
    }
    return clock.monotonicMs() < watched.late.atMs;
  }

  /** A backup that is made past the jobs of this host stands in the way of one, too. */
  async #settle(instance: string, watched: Watched, nowMs: number): Promise<void> {
    for (const open of watched.open) {
      // One that asking for again throws of stays as it is.
      const left = await this.#settled(instance, open, nowMs);
      watched.open = watched.open.flatMap((one) => (one === open ? (left ?? []) : one));
    }
  }

  /** @returns The run, as long as it is not known what becomes of it; null: nothing is left to do. */
  async #settled(instance: string, open: OpenRun, nowMs: number): Promise<OpenRun | null> {
    const job = this.#jobOf(open);
    if (job === null) return null; // nothing will be told of it
    const { endedMs, problem, state } = job;
    if (endedMs === null) return open;
    if (problem !== null && REFUSED.has(problem.code)) {
      const reason = refusedBy(problem.message);
      this.#parts.rows.refuse({ instance, dueMs: open.dueMs, reason });
      return null;
    }
    if (state !== 'failed') return null;
    const reason = `${problem?.code ?? 'TM_INTERNAL'}: ${problem?.message ?? 'it failed'}`;
    return this.#again(instance, open, { reason, nowMs });
  }

  /** Null: it is not known any more. */
  #jobOf({ job }: OpenRun): Job | null {
    try {
      return this.#parts.jobs.get(job);
    } catch (cause) {
      if (cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND') return null;
      throw cause;
    }
  }

  /** What is in the way of a backup mostly passes: an archiver that is started again, a node. */
  async #again(
    instance: string,
    open: OpenRun,
    { reason, nowMs }: { readonly reason: string; readonly nowMs: number },
  ): Promise<OpenRun | null> {
    const { clock, rows, known, desk, logger } = this.#parts;
    const { dueMs, tries, againMs } = open;
    const { policy } = desk.viewOf(instance, known.instance(instance));
    const times = desk.timesOf(instance, policy);
    const pauseMs = afterFailure({ dueMs, tries, nowMs, times });
    if (pauseMs === null) {
      rows.change({ instance, dueMs, state: 'missed', job: open.job, reason });
      logger.error('policy-run-failed', { instance, due: iso(dueMs), reason });
      return null;
    }
    if (againMs === null) {
      logger.warn('policy-run-again', { instance, due: iso(dueMs), reason, pauseMs });
      return { ...open, againMs: clock.monotonicMs() + pauseMs };
    }
    if (clock.monotonicMs() < againMs) return open;
    await this.#parts.fresh.of(instance);
    const run = this.#madeSince(instance, dueMs, nowMs) ?? (await this.#submit(instance, open));
    rows.change(run);
    if (run.state !== 'submitted' || run.job === null) return null;
    return { dueMs, job: run.job, tries: tries + 1, againMs: null };
  }

  /** Of the newest runs those that were asked for. */
  #openRuns(instance: string, max: number): readonly OpenRun[] {
    return this.#parts.rows.list(instance, max).flatMap(({ state, dueMs, job }) => {
      if (state !== 'submitted' || job === null) return [];
      return { dueMs, job, tries: 0, againMs: null };
    });
  }

  /** The newest run is made; the older ones were missed. */
  async #begin(instance: string, runs: readonly number[], nowMs: number): Promise<void> {
    const { rows, logger } = this.#parts;
    const dueMs = runs.at(-1);
    if (dueMs === undefined) return;
    const made = this.#madeSince(instance, dueMs, nowMs);
    const run = made ?? (await this.#submit(instance, { dueMs, job: null }));
    const missed = runs.slice(0, -1).map((each): PolicyRun => ({
      ...{ instance, dueMs: each, state: 'missed', job: null, atMs: nowMs },
      reason: `nobody looked in time; the run of ${iso(dueMs)} was caught up instead`,
    }));
    rows.note([...missed, { ...run, atMs: nowMs }]);
    logger.info('policy-run', {
      ...{ instance, due: iso(dueMs), state: run.state, job: run.job, reason: run.reason },
      missed: missed.length,
    });
  }

  /** @param before - The run, and the job of it that has failed. */
  async #submit(
    instance: string,
    { dueMs, job: before }: { readonly dueMs: number; readonly job: string | null },
  ): Promise<Omit<PolicyRun, 'atMs'>> {
    const run = { instance, dueMs, job: null, reason: '' } as const;
    const key = `${instance}/${dueMs.toString()}`;
    try {
      const job = await this.#parts.jobs.submit(
        { kind: 'backup', instance, request: { mode: 'automated' }, actor: ACTOR },
        // A kill between this and the note of it makes no second job.
        { actor: ACTOR.name, key: before === null ? key : `${key}/${before}` },
      );
      return { ...run, state: 'submitted', job: job.id };
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || isPassing(cause)) throw cause;
      const { code, message, context } = cause;
      const holder = context['job'];
      const job = typeof holder === 'string' ? holder : null;
      const reason = REFUSED.has(code) ? refusedBy(message) : `${code}: ${message}`;
      return { ...run, state: 'skipped', job, reason };
    }
  }

  /** Another host of the same store may have been faster. */
  #madeSince(instance: string, dueMs: number, nowMs: number): Omit<PolicyRun, 'atMs'> | null {
    const made = this.#parts.known
      .snapshots(instance)
      .find(
        ({ mode, startedMs }) =>
          mode === 'automated' && startedMs >= dueMs && startedMs <= nowMs + LATE_MS,
      );
    if (made === undefined) return null;
    const reason = `${made.backup} was made since`;
    return { instance, dueMs, state: 'made', job: null, reason };
  }

  /** Reads the log of an instance; a store that is away leaves what was known before. */
  async #read(instance: string, watched: Watched): Promise<void> {
    const { fresh, clock, logger } = this.#parts;
    try {
      await fresh.of(instance);
      watched.readMs = clock.monotonicMs();
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      logger.warn('policy-not-read', { instance, code: cause.code, error: cause.message });
    }
    this.#rebuild(instance);
    watched.idle = null;
    if (watched.open.length === 0) watched.open = this.#openRuns(instance, OPEN_MAX);
  }

  /** A host that knows of no run, since its database is new, learns from the backups that stand. */
  #rebuild(instance: string): void {
    const { rows, desk, known, clock } = this.#parts;
    if (rows.list(instance, 1).length > 0) return;
    const state = known.instance(instance);
    const times = desk.timesOf(instance, desk.viewOf(instance, state).policy);
    if (state.iid === null || times === null) return;
    const runs = runsOfSnapshots(instance, known.snapshots(instance), times, clock.nowMs());
    if (runs.length > 0) rows.note(runs);
  }

  #watch(instance: string): Watched {
    const known = this.#watched.get(instance);
    if (known !== undefined) return known;
    const watched = {
      readMs: -Infinity,
      notBeforeMs: -Infinity,
      late: null,
      open: [],
      idle: null,
    };
    this.#watched.set(instance, watched);
    return watched;
  }
}

/** A policy asks for nothing before it was set, and nothing before there was an instance. */
function beginOf({ createdMs, policySet }: InstanceState, nowMs: number): number {
  const known = [createdMs, policySet?.atMs].filter((ms) => ms != null);
  // What is later than now was noted by a clock that was set back: no run is lost for it.
  return Math.max(...known.filter((ms) => ms <= nowMs), -Infinity);
}

function refusedBy(message: string): string {
  return `a backup was being made: ${message}`;
}

function isPassing(error: TidemarkError): boolean {
  return error.retryable || PASSING.has(error.code);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
