import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { Requests } from './requests.ts';

/**
 * The `Date` of an answer: each server has to send it (RFC 9110, 6.6.1).
 * @returns Unix milliseconds; null where it is missing or no date.
 */
export async function tellTime(
  requests: Requests,
  { bucket, root }: { readonly bucket: string; readonly root: string },
  signal?: AbortSignal,
): Promise<number | null> {
  const call = { operation: 'ListObjectsV2', action: 's3:ListBucket', key: null, signal };
  return requests.send(call, async (client, http) => {
    let date: unknown;
    const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: root, MaxKeys: 1 });
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        date = headerOf(result.response, 'date');
        return result;
      },
      { step: 'deserialize', priority: 'high', name: 'tellTime' },
    );
    await client.send(command, http);
    const ms = typeof date === 'string' ? Date.parse(date) : NaN;
    return Number.isFinite(ms) ? ms : null;
  });
}

function headerOf(response: unknown, name: string): unknown {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return null;
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null) return null;
  return Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
}
