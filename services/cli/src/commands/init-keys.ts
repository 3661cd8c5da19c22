import { TidemarkError, UsageError } from '@tidemark/core';
import { describeUsable, openKmsAdmin, type KeySettings } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { keySettings, type NewKeys } from '@tidemark/workspace';
import type { Printer } from '../output/printer.ts';

/** Flags of `tidemark init` that say who wraps data keys. */
export interface KeyFlags {
  readonly keys?: string;
  readonly kmsKey?: string;
  readonly kmsRegion?: string;
  readonly kmsEndpoint?: string;
}

/**
 * What `[keys]` of a new configuration says. The key is looked up, and its ARN written: an alias may
 * be moved by others.
 * @param ring - Folder of the ring.
 * @throws UsageError `TM_USAGE`, `TM_CONFIG`; KeyError when the key service does not know the key, or
 *   it cannot wrap data keys.
 */
export async function newKeys(flags: KeyFlags, ring: string, printer: Printer): Promise<NewKeys> {
  const provider = flags.keys ?? 'ring';
  if (provider !== 'ring' && provider !== 'aws-kms') {
    throw new UsageError('TM_USAGE', `--keys ${JSON.stringify(provider)} is not known`, {
      hint: '--keys ring, or --keys aws-kms --kms-key KEY --kms-region REGION',
    });
  }
  if (provider === 'aws-kms' && flags.kmsKey === undefined) {
    throw new UsageError('TM_USAGE', '--keys aws-kms needs --kms-key', {
      hint: 'the ARN, id or alias of a symmetric key for encryption',
    });
  }
  const settings = keySettings(
    {
      provider,
      ring,
      ...(flags.kmsKey === undefined ? {} : { kms_key_id: flags.kmsKey }),
      ...(flags.kmsRegion === undefined ? {} : { kms_region: flags.kmsRegion }),
      ...(flags.kmsEndpoint === undefined ? {} : { kms_endpoint: flags.kmsEndpoint }),
    },
    '/',
  );
  if (settings.provider === 'ring') {
    return {
      provider,
      ring,
      kmsKeyId: null,
      ...(settings.kms ?? { region: null, endpoint: null }),
    };
  }
  const { region, endpoint } = settings;
  return { provider, ring, region, endpoint, kmsKeyId: await arnOf(settings, printer) };
}

async function arnOf(
  settings: KeySettings & { readonly provider: 'aws-kms' },
  printer: Printer,
): Promise<string> {
  const { kmsKeyId, ...connection } = settings;
  const admin = await openKmsAdmin(connection, { clock: systemClock, random: systemRandom });
  try {
    return (await describeUsable(admin, kmsKeyId)).keyId;
  } catch (cause) {
    const denied = cause instanceof TidemarkError && cause.code === 'TM_KEY_DENIED';
    if (!denied || !kmsKeyId.startsWith('arn:')) throw cause;
    printer.warn(`the key was not looked at: ${cause.message}`);
    return kmsKeyId;
  }
}
