import { type InstanceEntry, secretSource } from '@tidemark/workspace';
import type { SentinelFlags } from '../program/sentinel-flags.ts';

/** The flags in the shape of the configuration, with absolute paths. */
export function sentinelTableOf(
  flags: SentinelFlags,
): Pick<InstanceEntry, 'sentinel_user' | 'sentinel_password_file' | 'prefer_replica'> {
  const { sentinelUser, sentinelPassFile, preferReplica } = flags;
  return {
    ...(sentinelUser === undefined ? {} : { sentinel_user: sentinelUser }),
    ...(sentinelPassFile === undefined
      ? {}
      : { sentinel_password_file: secretSource(sentinelPassFile, '.') }),
    ...(preferReplica === true ? { prefer_replica: true } : {}),
  };
}
