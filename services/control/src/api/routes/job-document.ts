import type { FastifyReply } from 'fastify';
import { formatSecond } from '@tidemark/workspace';
import type { Job, JobLine, Json } from '../../jobs/job.ts';
import { namelessResult } from '../../jobs/nameless-result.ts';

/** Seconds after which a job that was just made is worth a look. */
const RETRY_AFTER_SECONDS = 2;

/** A job as the API shows it: without its request, which may name keys. Schema: `JobSchema`. */
export interface JobDocument {
  readonly id: string;
  readonly kind: Job['kind'];
  readonly instance: string;
  readonly state: Job['state'];
  readonly phase: string;
  readonly percent: number;
  readonly bytesDone: string;
  readonly bytesTotal: string;
  readonly keysDone: number;
  readonly etaSeconds: number | null;
  readonly attempt: number;
  readonly resumable: boolean;
  readonly worker: string | null;
  readonly actor: Job['actor'];
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly result: Json;
  readonly problem: Job['problem'];
  readonly links: {
    readonly self: string;
    readonly events: string;
    readonly logs: string;
    readonly cancel: string;
    readonly resume: string;
  };
}

/** What is shown of a job. */
export function jobDocument(job: Job): JobDocument {
  const { id, kind, instance, state, progress, attempt, resumable, worker, actor, problem } = job;
  const { phase, percent, bytesDone, bytesTotal, keysDone, etaSeconds } = progress;
  const self = `/v1/jobs/${id}`;
  return {
    ...{ id, kind, instance, state, phase, percent },
    bytesDone: wholeDigits(bytesDone),
    bytesTotal: wholeDigits(bytesTotal),
    ...{ keysDone, etaSeconds, attempt, resumable, worker, actor },
    createdAt: instant(job.createdMs),
    startedAt: job.startedMs === null ? null : instant(job.startedMs),
    endedAt: job.endedMs === null ? null : instant(job.endedMs),
    // Those that an earlier version kept may hold names.
    result: namelessResult(kind, job.result),
    problem,
    links: {
      self,
      events: `${self}/events`,
      logs: `${self}/logs`,
      cancel: `${self}:cancel`,
      resume: `${self}:resume`,
    },
  };
}

/** Answers that work was taken up: 202 with the address of its job. */
export function acceptJob(reply: FastifyReply, job: Job): JobDocument {
  const document = jobDocument(job);
  reply
    .code(202)
    .header('location', document.links.self)
    .header('retry-after', RETRY_AFTER_SECONDS);
  return document;
}

/** A line of the log of a job, as it is shown. */
export function lineDocument({ seq, atMs, level, message }: JobLine): {
  readonly seq: number;
  readonly at: string;
  readonly level: JobLine['level'];
  readonly message: string;
} {
  return { seq, at: new Date(atMs).toISOString(), level, message };
}

function instant(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}

function wholeDigits(count: number): string {
  return Math.max(0, Math.floor(count)).toString();
}
