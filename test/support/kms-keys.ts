import { KeyDirectory } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { KeyProviders, type AdoptKey } from '../../libs/crypto/src/keys/key-providers.ts';
import { openKeyRing } from '../../libs/crypto/src/keys/key-ring.ts';
import { RingWrapper } from '../../libs/crypto/src/keys/ring-wrapper.ts';
import type { KmsLimits } from '../../libs/crypto/src/kms/kms-service.ts';
import { openKmsWrapper } from '../../libs/crypto/src/kms/kms-wrapper.ts';
import type { KmsSettings } from './kms-server.ts';

/**
 * Bounds of calls in tests of failures: few tries with short pauses, and no hurry on a busy machine.
 */
export const QUICK_KMS: Partial<KmsLimits> = {
  attempts: 4,
  attemptMs: 60_000,
  budgetMs: 120_000,
  baseMs: 5,
  capMs: 20,
};

/** Providers as `openKeys` puts them together, with bounds of calls fit for tests of failures. */
export async function openTestKeys(
  settings: KmsSettings,
  o: {
    readonly directory?: KeyDirectory;
    readonly limits?: Partial<KmsLimits>;
    readonly adopt?: AdoptKey;
  } = {},
): Promise<KeyProviders> {
  const { ringDir, region, endpoint, kmsKeyId } = settings;
  const ports = { clock: systemClock, random: systemRandom };
  const ring = await openKeyRing({ dir: ringDir, ...ports });
  const wrapper = new RingWrapper(ring);
  const kms = openKmsWrapper({
    connection: { region, endpoint },
    kmsKeyId,
    limits: o.limits ?? QUICK_KMS,
    ...ports,
  });
  return new KeyProviders({
    settingsProvider: 'aws-kms',
    wrappers: new Map([
      ['ring', () => Promise.resolve(wrapper)],
      ['aws-kms', () => Promise.resolve(kms)],
    ]),
    directory: o.directory ?? new KeyDirectory(),
    logKey: (instance) => ring.logKey(instance),
    ...(o.adopt === undefined ? {} : { adopt: o.adopt }),
  });
}
