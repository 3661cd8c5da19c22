import { TidemarkError } from '@tidemark/core';
import type { FastifyError } from 'fastify';
import { problemOf } from '../api/problem-codes.ts';
import { ApiProblem, PROBLEMS, type ProblemName } from '../api/problem-types.ts';

/** A refusal in the style of the managed service. */
export class CompatError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, status: number, message: string) {
    super(message);
    this.name = 'CompatError';
    this.code = code;
    this.status = status;
  }
}

/** Problems that have another name there. */
const CODES: Partial<Record<ProblemName, string>> = {
  validation: 'InvalidParameter',
  'bad-request': 'InvalidParameter',
  unauthenticated: 'InvalidAccessKeyId.NotFound',
  forbidden: 'Forbidden.RAM',
  'not-found': 'InvalidInstanceId.NotFound',
  'rate-limited': 'Throttling.User',
  'tde-irreversible': 'TdeCannotBeDisabled',
  'precondition-failed': 'OperationConflict',
  internal: 'InternalError',
  unavailable: 'ServiceUnavailable',
  overloaded: 'ServiceUnavailable',
};

/** What an error is called there: a code, a status and a message without a secret. */
export function compatErrorOf(error: unknown): CompatError {
  if (error instanceof CompatError) return error;
  if (error instanceof ApiProblem) {
    const [fault] = error.faults;
    const where = fault === undefined ? '' : `${fault.pointer.replace(/^(query)?\//, '')}: `;
    return fromProblem(error.problem, `${where}${error.message}`);
  }
  if (error instanceof TidemarkError) {
    const problem = problemOf(error.code);
    const name = error.code === 'TM_JOB_BUSY' ? busyWith(error.context['kind']) : problem;
    if (name === 'internal') return fromProblem('internal', PROBLEMS.internal.title);
    const hint = error.hint === undefined ? '' : `; ${error.hint}`;
    return fromProblem(name, `${error.message} (${error.code})${hint}`);
  }
  if (error instanceof Error && 'validation' in error) {
    const [fault] = (error as FastifyError).validation ?? [];
    const name = (fault?.instancePath ?? '').replace(/^\//, '');
    const message = fault?.message ?? 'is not well formed';
    return new CompatError('InvalidParameter', 400, `${name} ${message}`.trim());
  }
  const status = (error as { readonly statusCode?: unknown } | null)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new CompatError('InvalidParameter', status, 'the request cannot be read');
  }
  return fromProblem('internal', PROBLEMS.internal.title);
}

function fromProblem(problem: ProblemName, message: string): CompatError {
  const code = CODES[problem] ?? pascal(problem);
  const { status } = PROBLEMS[problem];
  return new CompatError(code, status === 422 ? 400 : status, message);
}

function busyWith(kind: unknown): ProblemName {
  if (kind === 'backup') return 'backup-in-progress';
  return kind === 'restore' || kind === 'write-back' ? 'restore-in-progress' : 'busy';
}

function pascal(name: string): string {
  return name.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
