import { GetObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { UsageError } from '@tidemark/core';
import type { ObjectPlace } from './object-facts.ts';
import type { Requests } from './requests.ts';

/** What Signature Version 4 allows: seven days. */
const TTL_SECONDS_MAX = 7 * 24 * 3600;

/**
 * An address that gives the object to whoever has it, until it expires. Nothing is sent.
 * @throws UsageError `TM_USAGE` for a life it cannot have.
 */
export async function presignObject(
  requests: Requests,
  place: ObjectPlace,
  ttlSeconds: number,
): Promise<string> {
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > TTL_SECONDS_MAX) {
    throw new UsageError('TM_USAGE', 'a link lives for 1 second to 7 days', {
      context: { ttlSeconds, ttlSecondsMax: TTL_SECONDS_MAX },
    });
  }
  const command = new GetObjectCommand({ Bucket: place.bucket, Key: place.name });
  return getSignedUrl(requests.client, command, { expiresIn: ttlSeconds });
}
