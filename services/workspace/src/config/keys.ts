import { resolve } from 'node:path';
import { UsageError } from '@tidemark/core';
import { assertKmsConnection, regionOfKey, type KeySettings } from '@tidemark/crypto';
import type { ConfigFile } from './schema.ts';

/**
 * The `[keys]` of a configuration: who wraps data keys, and where the ring with the log keys is.
 * @param base - Folder that a relative path is taken from.
 * @throws UsageError `TM_CONFIG` that names the setting.
 */
export function keySettings(keys: ConfigFile['keys'], base: string): KeySettings {
  const ringDir = resolve(base, keys.ring);
  const { kms_key_id: kmsKeyId, kms_endpoint: endpoint = null } = keys;
  const region = keys.kms_region ?? regionOfKey(kmsKeyId ?? '');
  if (region !== null) assertKmsConnection({ region, endpoint });
  if (keys.provider === 'aws-kms') {
    if (kmsKeyId === undefined) {
      throw new UsageError('TM_CONFIG', 'keys.kms_key_id is missing', {
        hint: 'the ARN of the key that wraps data keys; or provider = "ring"',
      });
    }
    if (region === null) throw noRegion();
    return { provider: 'aws-kms', ringDir, kmsKeyId, region, endpoint };
  }
  if (kmsKeyId !== undefined) {
    throw new UsageError('TM_CONFIG', 'keys.kms_key_id is for provider = "aws-kms"');
  }
  if (region === null && endpoint !== null) throw noRegion();
  return { provider: 'ring', ringDir, ...(region === null ? {} : { kms: { region, endpoint } }) };
}

function noRegion(): UsageError {
  return new UsageError('TM_CONFIG', 'keys.kms_region is missing', {
    hint: 'for example kms_region = "eu-central-1"; a key ARN names its own',
  });
}
