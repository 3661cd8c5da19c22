/** What a job does. */
export type JobKind =
  | 'backup'
  | 'restore'
  | 'write-back'
  | 'clone'
  | 'rebuild'
  | 'rewrap'
  | 'verify'
  | 'expire'
  | 'clear-data'
  | 'purge-expired';

/**
 * Where a job stands. `queued` waits for a worker, and so does one that was interrupted and goes on by
 * itself; `partial` ended with a part left out that its result names.
 */
export type JobState =
  'queued' | 'running' | 'cancelling' | 'succeeded' | 'partial' | 'failed' | 'cancelled';

/** Who asks. */
export interface Actor {
  /** 1 to 64 of `A-Za-z0-9._@-`. */
  readonly name: string;
  readonly via: 'token' | 'mtls' | 'open' | 'cli' | 'policy';
}

/** JSON that can be kept and sent; no secret in it, only references to where one lies. */
export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** How far a job is. Unknown totals are 0. */
export interface JobProgress {
  readonly phase: string;
  /** 0 to 100, one decimal. */
  readonly percent: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly keysDone: number;
  /** Null: not known. */
  readonly etaSeconds: number | null;
}

/** Why a job failed; also the body of an answer to a request. */
export interface JobProblem {
  /** A code of \@tidemark/core. */
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** A job as it is kept, and as everybody sees it. */
export interface Job {
  /** `job-` and a sortable id. */
  readonly id: string;
  readonly kind: JobKind;
  readonly instance: string;
  readonly state: JobState;
  readonly actor: Actor;
  /** What was asked for; checked by the handler of its kind. */
  readonly request: Json;
  readonly progress: JobProgress;
  /** How often a worker began it. */
  readonly attempt: number;
  /** Whether `resume` may be asked for: it failed or was cancelled at a place from which it can go on. */
  readonly resumable: boolean;
  readonly result: Json;
  readonly problem: JobProblem | null;
  /** Name of the worker that has it; null = none. */
  readonly worker: string | null;
  readonly createdMs: number;
  readonly startedMs: number | null;
  readonly endedMs: number | null;
}

/** What is asked for. */
export interface JobOrder {
  readonly kind: JobKind;
  readonly instance: string;
  readonly request: Json;
  readonly actor: Actor;
}

/** One change of a job; `seq` grows by one within a job, from 1. */
export interface JobEvent {
  readonly seq: number;
  readonly atMs: number;
  readonly job: Job;
}

/** One line of the log of a job; without dataset content. */
export interface JobLine {
  readonly seq: number;
  readonly atMs: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
}

/** What a handler may do while it works. */
export interface JobContext {
  readonly job: Job;
  /** Aborted when the job is cancelled (its reason is a `JobCancelled`) or the worker stops. */
  readonly signal: AbortSignal;
  /** What the last attempt kept; null in the first. */
  readonly checkpoint: Json;
  /** Durable when it resolves: after a kill the next attempt is given it. */
  readonly keep: (checkpoint: Json) => Promise<void>;
  /** Kept at most a few times a second. */
  readonly progress: (progress: Partial<JobProgress> & { readonly phase: string }) => void;
  readonly log: (level: JobLine['level'], message: string) => void;
}

/** How a job ended; a failure is thrown. */
export interface JobOutcome {
  readonly state: 'succeeded' | 'partial';
  readonly result: Json;
}

/** Does the jobs of one kind. */
export interface JobHandler {
  readonly kind: JobKind;
  /**
   * Looks at a request before it is accepted.
   * @returns The request as it is kept: defaults filled in, times made absolute, no secret.
   * @throws UsageError with the code that the caller is told.
   */
  check(order: JobOrder): Promise<Json> | Json;
  /**
   * Jobs with an equal key are refused while another one is open (e.g. `backup:orders`); null: any number.
   * Of several keys each has a line.
   */
  exclusive(order: JobOrder): string | null;
  /** Whether only an administrator may have it done; absent: the kind alone says. Kept in clear with a sealed request. */
  needsAdmin?(order: JobOrder): boolean;
  /** Begins, or goes on where `checkpoint` says. May be killed at any instant and called again. */
  run(context: JobContext): Promise<JobOutcome>;
  /**
   * After a cancel or a last failure: takes away what a half-done attempt left. Called again after a kill.
   * Its signal is aborted when another worker has the job: nothing of it is to be touched any more.
   */
  cleanUp(context: Omit<JobContext, 'progress'>): Promise<void>;
  /**
   * Another host has ended the job, or nobody knows who, and attempts of this one had begun it: takes away what they
   * left on this host, and nothing that was handed over, by whomever. Safe to repeat. Absent: they leave nothing.
   */
  takeBack?(context: Omit<JobContext, 'progress'>): Promise<void>;
}

/** Which jobs are wanted. */
export interface JobQuestion {
  readonly instance?: string;
  readonly state?: JobState;
  readonly kind?: JobKind;
  /** 1 to 500. */
  readonly pageSize: number;
  /** From an answer before; opaque. */
  readonly pageToken?: string;
}

/** Everything that is asked of jobs, by API, command line and scheduler alike. */
export interface JobDesk {
  /**
   * Durable when it resolves.
   * @param key - The same key and order give the same job for 24 h.
   * @throws CatalogError `TM_JOB_BUSY` (context.job) when an exclusive one is open, `TM_JOB_LIMIT` when too many
   *   wait, `TM_IDEMPOTENCY` for the same key with another order; as the handler's `check`.
   */
  submit(order: JobOrder, key?: { readonly actor: string; readonly key: string }): Promise<Job>;
  /** @throws UsageError `TM_NOT_FOUND`. */
  get(id: string): Job;
  /** Newest first. */
  list(question: JobQuestion): {
    readonly jobs: readonly Job[];
    readonly nextPageToken: string | null;
  };
  /** Every change after `seq`, then what comes; ends with the end of the job or the signal. */
  follow(id: string, afterSeq: number, signal: AbortSignal): AsyncIterable<JobEvent>;
  lines(id: string, afterSeq: number, max: number): readonly JobLine[];
  /** @throws UsageError `TM_JOB_OVER` when it has ended. */
  cancel(id: string, actor: Actor): Promise<Job>;
  /** @throws UsageError `TM_JOB_STATE` when it cannot go on. */
  resume(id: string, actor: Actor): Promise<Job>;
}
