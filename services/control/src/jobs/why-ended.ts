import { CatalogError, TidemarkError } from '@tidemark/core';
import type { JobProblem } from './job.ts';

const MESSAGE_MAX = 1024;

/** Reason of the signal of a job that was cancelled. */
export class JobCancelled extends TidemarkError {
  constructor(job: string) {
    super('TM_CANCELLED', `job ${job} was cancelled`);
  }
}

/** Reason of the signal of a job whose worker stops: another attempt follows. */
export class WorkerStops extends TidemarkError {
  constructor() {
    super('TM_CANCELLED', 'the worker stops');
  }
}

/** Reason of the signal of a job that another worker has by now. */
export class JobTakenOver extends CatalogError {
  constructor(job: string) {
    super('TM_JOB_LOST', `job ${job} was taken over by another worker`, { context: { job } });
  }
}

/** Of a job that a worker of another host ended, who did not tell why. */
export function endedElsewhere(job: string): JobProblem {
  return {
    code: 'TM_JOB_LOST',
    message: `another host ended job ${job}, and did not tell what came of it`,
    hint: 'the log of its worker says why; what it is about says how much was done',
  };
}

/** What is told of a fault: code, message and hint, without what lies below it, and without names of keys. */
export function problemOf(cause: unknown): JobProblem {
  if (cause instanceof TidemarkError) {
    const { code, hint = null } = cause;
    return { code, message: namelessText(cause).slice(0, MESSAGE_MAX), hint };
  }
  return {
    code: 'TM_INTERNAL',
    message: messageOf(cause).slice(0, MESSAGE_MAX),
    hint: 'this is a fault of Tidemark; please report it with the log of the worker',
  };
}

/** Errors of the runtime whose text repeats what they are about: it may be out of a dataset. */
const QUOTING: ReadonlySet<string> = new Set(['ReplyError', 'SyntaxError', 'AggregateError']);

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause;
  return QUOTING.has(cause.name) ? cause.name : cause.message;
}

function namelessText({ message, context }: TidemarkError): string {
  const { key } = context;
  return typeof key === 'string' ? message.replaceAll(`key ${key}`, () => 'a key') : message;
}
