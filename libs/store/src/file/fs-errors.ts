import { StoreError, TidemarkError } from '@tidemark/core';

/** The `code` of a system error (`ENOENT`, …), or '' for anything else. */
export function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/**
 * A system error as an error of the store: no room is `TM_STORE_FULL`, the rest `TM_STORE_IO`.
 * Errors of Tidemark pass as they are.
 *
 * @param operation - What was tried, e.g. `write`.
 */
export function storeError(operation: string, key: string, cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const errno = errnoOf(cause);
  const details = { context: { operation, key, errno }, cause };
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new StoreError('TM_STORE_FULL', 'the store has no room', {
      ...details,
      hint: 'free room on the file system of the store, or raise its quota',
    });
  }
  if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS') {
    return new StoreError('TM_STORE_IO', `the store may not ${operation}`, {
      ...details,
      hint: 'the user of this process needs read and write rights in the folder of the store',
    });
  }
  return new StoreError('TM_STORE_IO', `the store failed to ${operation}`, details);
}
