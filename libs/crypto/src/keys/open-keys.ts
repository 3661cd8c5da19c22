import type { Clock, Random } from '@tidemark/core';
import { openKeyRing } from './key-ring.ts';
import type { KeyProvider } from './provider.ts';

/** The local key ring wraps data keys. */
export interface RingSettings {
  readonly provider: 'ring';
  /** Absolute path of its folder. */
  readonly ringDir: string;
}

/** Who wraps data keys: plain data without secrets, as the configuration says it. */
export type KeySettings = RingSettings;

/**
 * Opens the provider that the settings name. For the main of a service: all else is given one.
 * @throws KeyError as the provider's own opening.
 */
export async function openKeys(
  settings: KeySettings,
  ports: { readonly random: Random; readonly clock: Clock },
): Promise<KeyProvider> {
  return openKeyRing({ dir: settings.ringDir, ...ports });
}
