import type { KeyMetadata } from '@aws-sdk/client-kms';
import type { KeyFacts, KeyState } from '../keys/key-admin.ts';

const STATES: Readonly<Record<string, KeyState>> = {
  Enabled: 'enabled',
  Disabled: 'disabled',
  PendingDeletion: 'pending-deletion',
  PendingReplicaDeletion: 'pending-deletion',
  PendingImport: 'pending-import',
  Creating: 'creating',
  Updating: 'creating',
};

/**
 * What the service says of a key, in our words. A field that a service leaves out is taken as that of
 * a key for encryption, which is what the service's own default is.
 * @param arn - ARN of the key, checked to be there.
 */
export function keyFactsOf(
  arn: string,
  metadata: KeyMetadata,
  more: Pick<KeyFacts, 'aliases' | 'rotation'>,
): KeyFacts {
  const spec = metadata.KeySpec ?? 'SYMMETRIC_DEFAULT';
  return {
    provider: 'aws-kms',
    keyId: arn,
    id: metadata.KeyId ?? arn,
    aliases: more.aliases,
    creator: metadata.KeyManager === 'AWS' ? 'service' : 'customer',
    description: metadata.Description ?? '',
    state: STATES[metadata.KeyState ?? ''] ?? 'unavailable',
    usage: metadata.KeyUsage ?? (spec === 'SYMMETRIC_DEFAULT' ? 'ENCRYPT_DECRYPT' : ''),
    spec,
    origin: metadata.Origin ?? '',
    createdMs: metadata.CreationDate?.getTime() ?? null,
    deleteMs: metadata.DeletionDate?.getTime() ?? null,
    materialExpireMs: metadata.ValidTo?.getTime() ?? null,
    rotation: more.rotation,
  };
}
