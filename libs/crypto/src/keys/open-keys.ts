import type { Clock, Random } from '@tidemark/core';
import { assertKmsConnection, type KmsConnection } from '../kms/kms-connection.ts';
import type { KeyAdmin } from './key-admin.ts';
import { KeyDirectory } from './key-directory.ts';
import { KeyProviders, type AdoptKey, type OpenWrapper } from './key-providers.ts';
import { openKeyRing } from './key-ring.ts';
import { RingWrapper } from './ring-wrapper.ts';

/** The local key ring wraps data keys where an instance's log names no other key. */
export interface RingSettings {
  readonly provider: 'ring';
  /** Absolute path of its folder. */
  readonly ringDir: string;
  /** The key service that single instances may have their keys in; null for none. */
  readonly kms?: KmsConnection | null;
}

/** A key of a key service wraps data keys; the ring holds the log keys (docs/adr/0021). */
export interface KmsSettings {
  readonly provider: 'aws-kms';
  /** Absolute path of the ring's folder. */
  readonly ringDir: string;
  /** Id, ARN or alias. */
  readonly kmsKeyId: string;
  /** E.g. `eu-central-1`. */
  readonly region: string;
  /** Address of a service that is not AWS's own; null is AWS. */
  readonly endpoint: string | null;
}

/** Who wraps data keys: plain data without secrets, as the configuration says it. */
export type KeySettings = RingSettings | KmsSettings;

/**
 * Opens the providers that the settings name. For the main of a service: all else is given one.
 * A key service is first called, and its code loaded, when a data key is made or opened.
 * @param ports - `directory`: the keys of each instance; an empty one by default. `adopt`: see
 *   `KeyProvidersOptions`.
 * @throws KeyError as the ring's own opening; UsageError `TM_CONFIG` for an endpoint or region that
 *   cannot be used.
 */
export async function openKeys(
  settings: KeySettings,
  ports: {
    readonly random: Random;
    readonly clock: Clock;
    readonly directory?: KeyDirectory;
    readonly adopt?: AdoptKey;
  },
): Promise<KeyProviders> {
  const { random, clock } = ports;
  const connection = kmsConnectionOf(settings);
  if (connection !== null) assertKmsConnection(connection);
  const ring = await openKeyRing({ dir: settings.ringDir, random, clock });
  const wrapper = new RingWrapper(ring);
  const wrappers = new Map<string, OpenWrapper>([['ring', () => Promise.resolve(wrapper)]]);
  if (connection !== null) {
    const kmsKeyId = settings.provider === 'aws-kms' ? settings.kmsKeyId : null;
    wrappers.set('aws-kms', async () => {
      const { openKmsWrapper } = await import('../kms/kms-wrapper.ts');
      return openKmsWrapper({ connection, kmsKeyId, clock, random });
    });
  }
  return new KeyProviders({
    settingsProvider: settings.provider,
    wrappers,
    directory: ports.directory ?? new KeyDirectory(),
    logKey: (instance) => ring.logKey(instance),
    ...(ports.adopt === undefined ? {} : { adopt: ports.adopt }),
  });
}

/**
 * Looks after the keys of a key service without any ring, for settings that are still to be made.
 * @throws UsageError `TM_CONFIG` for an endpoint or region that cannot be used.
 */
export async function openKmsAdmin(
  connection: KmsConnection,
  ports: { readonly random: Random; readonly clock: Clock },
): Promise<KeyAdmin> {
  const { openKmsWrapper } = await import('../kms/kms-wrapper.ts');
  return openKmsWrapper({ connection, kmsKeyId: null, ...ports }).admin;
}

/** The key service of the settings; null for none. */
function kmsConnectionOf(settings: KeySettings): KmsConnection | null {
  if (settings.provider === 'ring') return settings.kms ?? null;
  return { region: settings.region, endpoint: settings.endpoint };
}
