import { ERROR_CODES, type ErrorCode } from '@tidemark/core';
import type { ProblemName } from './problem-types.ts';

/** Codes whose problem is not that of their exit code. */
const BY_CODE: Partial<Record<ErrorCode | (string & {}), ProblemName>> = {
  TM_CONFIG: 'configuration',
  TM_EXISTS: 'exists',
  TM_BUSY: 'busy',
  TM_JOB_BUSY: 'busy',
  TM_JOB_LIMIT: 'job-limit',
  TM_JOB_OVER: 'job-over',
  TM_JOB_STATE: 'job-state',
  TM_IDEMPOTENCY: 'idempotency-mismatch',
  TM_STATE_FULL: 'state-full',
  TM_STATE_DB: 'unavailable',
  TM_TOKENS: 'unavailable',
  TM_LIMIT: 'filter-limit',
  TM_INTERNAL: 'internal',
  TM_AOF_OFF: 'aof-disabled',
  TM_TARGET_NOT_EMPTY: 'target-not-empty',
  TM_TARGET_MEMORY: 'target-too-small',
  TM_TARGET_RDB_VERSION: 'target-version-too-old',
  TM_TARGET_MODULES: 'target-version-too-old',
  TM_TARGET_CLUSTER: 'topology-mismatch',
  TM_TARGET_REPLICAS: 'topology-mismatch',
  TM_TARGET_DATABASES: 'target-too-small',
  TM_TDE_CANNOT_BE_DISABLED: 'tde-irreversible',
  TM_TDE_DENIED: 'tde-denied',
  TM_KEY_DISABLED: 'kms-key-disabled',
  TM_KEY_SERVICE: 'kms-unavailable',
  TM_STORE_IO: 'repo-unavailable',
  TM_STORE_FULL: 'repo-unavailable',
  TM_STORE_DENIED: 'repo-unavailable',
  TM_STORE_CLOCK: 'repo-unavailable',
  TM_NODE_UNREACHABLE: 'node-unavailable',
  TM_NODE_LOADING: 'node-unavailable',
  TM_ARCHIVER_DOWN: 'archiver-unavailable',
  TM_SPOOL: 'spool-full',
  TM_CATALOG_DB: 'unavailable',
  TM_LOG_CONFLICT: 'busy',
  TM_POLICY_CHANGED: 'precondition-failed',
  TM_TARGET_TOPOLOGY: 'topology-mismatch',
  TM_TDE_REBUILD: 'tde-rebuild-unsupported',
  TM_RECYCLE_STATE: 'refused',
  TM_BACKUP_HELD: 'refused',
  TM_BACKUP_LAST: 'refused',
};

/** What an exit code means to a caller of the API. */
const BY_EXIT: Readonly<Record<number, ProblemName>> = {
  2: 'validation',
  10: 'not-found',
  11: 'busy',
  12: 'kms-denied',
  13: 'time-not-recoverable',
  14: 'repo-corrupt',
  15: 'target-not-empty',
  16: 'unavailable',
  130: 'cancelled',
};

/** The kind of problem that a TidemarkError is. */
export function problemOf(code: ErrorCode): ProblemName {
  const { exit, retryable } = ERROR_CODES[code];
  return BY_CODE[code] ?? BY_EXIT[exit] ?? (retryable ? 'unavailable' : 'refused');
}
