import type { Clock, Random } from '@tidemark/core';
import { KeyDirectory } from './key-directory.ts';
import { KeyProviders } from './key-providers.ts';
import { openKeyRing } from './key-ring.ts';
import { RingWrapper } from './ring-wrapper.ts';

/** The local key ring wraps data keys. */
export interface RingSettings {
  readonly provider: 'ring';
  /** Absolute path of its folder. */
  readonly ringDir: string;
}

/** Who wraps data keys: plain data without secrets, as the configuration says it. */
export type KeySettings = RingSettings;

/**
 * Opens the providers that the settings name. For the main of a service: all else is given one.
 * @param ports - `directory`: the keys of each instance; an empty one by default.
 * @throws KeyError as the provider's own opening.
 */
export async function openKeys(
  settings: KeySettings,
  ports: { readonly random: Random; readonly clock: Clock; readonly directory?: KeyDirectory },
): Promise<KeyProviders> {
  const { random, clock } = ports;
  const ring = await openKeyRing({ dir: settings.ringDir, random, clock });
  const wrapper = new RingWrapper(ring);
  return new KeyProviders({
    settingsProvider: settings.provider,
    wrappers: new Map([['ring', () => Promise.resolve(wrapper)]]),
    directory: ports.directory ?? new KeyDirectory(),
    logKey: (instance) => ring.logKey(instance),
  });
}
