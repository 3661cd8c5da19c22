import type { KeyContext } from '../keys/provider.ts';

/**
 * The encryption context of a data key: ids only, since the key service writes it into its own log
 * in clear. It always comes from the request. Fields and their order: docs/kms.md.
 */
export function encryptionContext({
  instance,
  purpose,
  dekId,
}: KeyContext): Record<string, string> {
  return { app: 'tidemark', fmt: '1', instance, purpose, dekId };
}
