/** Every kind of problem, by the last part of its type. A name is permanent; docs/api.md lists them. */
export const PROBLEMS = {
  validation: { status: 422, title: 'The request is not well formed' },
  'bad-request': { status: 400, title: 'The request cannot be read' },
  unauthenticated: { status: 401, title: 'A valid token or certificate is needed' },
  forbidden: { status: 403, title: 'The caller lacks a right' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'method-not-allowed': { status: 405, title: 'This is not done with that method' },
  'request-timeout': { status: 408, title: 'The request came too slowly' },
  exists: { status: 409, title: 'It exists already' },
  busy: { status: 409, title: 'The same work is under way' },
  refused: { status: 409, title: 'This cannot be done in the present state' },
  configuration: { status: 409, title: 'The configuration stands in the way' },
  'backup-in-progress': { status: 409, title: 'A backup is being made' },
  'restore-in-progress': { status: 409, title: 'A restore is under way' },
  'job-over': { status: 409, title: 'The job has ended' },
  'job-state': { status: 409, title: 'The job cannot go on' },
  'idempotency-key-missing': { status: 400, title: 'An Idempotency-Key is needed' },
  'idempotency-conflict': { status: 409, title: 'A request with this key is being answered' },
  'idempotency-mismatch': { status: 422, title: 'The key was used for another request' },
  'time-not-recoverable': { status: 409, title: 'The requested time is not recoverable' },
  'aof-disabled': { status: 409, title: 'The append-only file is switched off' },
  'target-not-empty': { status: 409, title: 'The target holds data' },
  'target-too-small': { status: 422, title: 'The target is too small' },
  'target-version-too-old': { status: 422, title: 'The target cannot load this data' },
  'topology-mismatch': { status: 422, title: 'The topology of the target does not fit' },
  'tde-irreversible': { status: 409, title: 'TDE cannot be switched off' },
  'tde-denied': { status: 409, title: 'This is not done for an instance with TDE' },
  'tde-rebuild-unsupported': { status: 409, title: 'An instance with TDE is not rebuilt' },
  'kms-denied': { status: 409, title: 'The key service refuses' },
  'kms-key-disabled': { status: 409, title: 'The key cannot be used in its state' },
  'kms-unavailable': { status: 503, title: 'The key service cannot be reached' },
  'repo-unavailable': { status: 503, title: 'The store cannot be reached' },
  'repo-corrupt': { status: 500, title: 'What is stored is damaged' },
  'node-unavailable': { status: 503, title: 'A server cannot be reached' },
  'archiver-unavailable': { status: 503, title: 'The archiver is not running' },
  'spool-full': { status: 507, title: 'The spool is full' },
  'state-full': { status: 507, title: 'The disk of the state folder is full' },
  'precondition-failed': { status: 412, title: 'It was changed meanwhile' },
  'precondition-required': { status: 428, title: 'If-Match is needed' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'Bodies are application/json' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'job-limit': { status: 429, title: 'Too many jobs wait' },
  'filter-limit': { status: 422, title: 'A maximum is exceeded' },
  cancelled: { status: 409, title: 'It was cancelled' },
  overloaded: { status: 503, title: 'The service is overloaded' },
  unavailable: { status: 503, title: 'The service cannot answer now' },
  internal: { status: 500, title: 'A fault of Tidemark' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>;

/** The last part of `urn:tidemark:problem:…`. */
export type ProblemName = keyof typeof PROBLEMS;

/** One fault of a request. */
export interface Fault {
  /** JSON pointer into the body; `query/NAME`, `path/NAME` and `header/NAME` for what is not in it. */
  readonly pointer: string;
  readonly detail: string;
}

/** A refusal by the API itself; what Tidemark refuses has a TidemarkError with its code. */
export class ApiProblem extends Error {
  readonly problem: ProblemName;
  readonly faults: readonly Fault[];
  readonly headers: Readonly<Record<string, string>>;

  /** @param detail - What is wrong here, for the caller: no secret, no dataset content. */
  constructor(
    problem: ProblemName,
    detail: string,
    more: {
      readonly faults?: readonly Fault[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'ApiProblem';
    this.problem = problem;
    this.faults = more.faults ?? [];
    this.headers = more.headers ?? {};
  }
}

/** One wrong field of a body: 422 with its pointer. */
export function wrongField(pointer: string, detail: string): ApiProblem {
  return new ApiProblem('validation', detail, { faults: [{ pointer, detail }] });
}
