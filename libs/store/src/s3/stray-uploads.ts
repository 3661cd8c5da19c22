import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
} from '@aws-sdk/client-s3';
import type { Requests } from './requests.ts';

/** Which uploads are stray. */
export interface StrayRange {
  readonly bucket: string;
  /** What names of the store begin with. */
  readonly root: string;
  /** Those begun before, in milliseconds since the epoch. */
  readonly beforeMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Aborts uploads in parts that were begun before a time and never completed: their parts are
 * invisible and cost money. One that is still under way ends with an error and is begun anew.
 * @returns How many were aborted.
 */
export async function collectStrayUploads(requests: Requests, range: StrayRange): Promise<number> {
  const { bucket, root, beforeMs, signal } = range;
  let aborted = 0;
  let from: Marker | null = null;
  for (;;) {
    const page: Page = await readPage(requests, range, from);
    for (const { Key: name, UploadId: id, Initiated: begun } of page.Uploads ?? []) {
      // Some servers take no prefix.
      if (name === undefined || id === undefined || !name.startsWith(root)) continue;
      if (begun === undefined || begun.getTime() >= beforeMs) continue;
      await requests.send(
        {
          operation: 'AbortMultipartUpload',
          action: 's3:AbortMultipartUpload',
          key: name,
          signal,
        },
        (client, http) =>
          client.send(
            new AbortMultipartUploadCommand({ Bucket: bucket, Key: name, UploadId: id }),
            http,
          ),
      );
      aborted++;
    }
    const next: Marker = { key: page.NextKeyMarker ?? '', id: page.NextUploadIdMarker ?? '' };
    const over = page.IsTruncated !== true || (next.key === from?.key && next.id === from.id);
    if (over || next.key === '') return aborted;
    from = next;
  }
}

interface Marker {
  readonly key: string;
  readonly id: string;
}

type Page = ListMultipartUploadsCommandOutput;

async function readPage(requests: Requests, range: StrayRange, from: Marker | null): Promise<Page> {
  const value = await requests.send(
    {
      operation: 'ListMultipartUploads',
      action: 's3:ListBucketMultipartUploads',
      key: null,
      signal: range.signal,
    },
    (client, http) =>
      client.send(
        new ListMultipartUploadsCommand({
          Bucket: range.bucket,
          Prefix: range.root,
          ...(from === null ? {} : { KeyMarker: from.key, UploadIdMarker: from.id }),
        }),
        http,
      ),
  );
  return value;
}
