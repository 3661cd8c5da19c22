import type { KeyProvider, KeyProviders } from '@tidemark/crypto';

/**
 * The keys of an archiver. Several providers put together have a directory, which says whose key
 * wraps for which instance; a ring alone has one key for all.
 */
export type CaptureKeys = KeyProvider &
  Partial<Pick<KeyProviders, 'directory' | 'defaultKey' | 'adminOf'>>;
