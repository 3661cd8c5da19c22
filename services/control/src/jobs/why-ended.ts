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

/** What is told of a fault: code, message and hint, without what lies below it. */
export function problemOf(cause: unknown): JobProblem {
  if (cause instanceof TidemarkError) {
    const { code, message, hint = null } = cause;
    return { code, message: message.slice(0, MESSAGE_MAX), hint };
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return {
    code: 'TM_INTERNAL',
    message: message.slice(0, MESSAGE_MAX),
    hint: 'this is a fault of Tidemark; please report it with the log of the worker',
  };
}
