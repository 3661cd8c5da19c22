import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { StoreError } from '@tidemark/core';
import type { ObjectInfo } from '../object-store.ts';
import { keyOf, nameOf, rootOf } from './object-name.ts';
import type { Requests } from './requests.ts';

/** What of a store is to be listed. */
export interface ListRange {
  readonly bucket: string;
  /** Of the store. */
  readonly storePrefix: string;
  /** Of the keys. */
  readonly prefix: string;
  /** Exclusive; '' from the beginning. */
  readonly after: string;
  /** How many keys the first page holds at most; undefined: as all others. */
  readonly first: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Lists objects page by page; what is not an object of Tidemark is passed over.
 *
 * A server that does not list in byte order is refused: entries would be missed.
 * @throws StoreError as `ObjectStore.list`.
 */
export async function* listObjects(
  requests: Requests,
  range: ListRange,
): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
  let token: string | undefined;
  let last = range.after;
  do {
    range.signal?.throwIfAborted();
    const page = await readPage(requests, range, token);
    const found: ObjectInfo[] = [];
    for (const { Key: name = '', Size: size = 0 } of page.Contents ?? []) {
      const key = keyOf(range.storePrefix, name);
      if (key === null || !key.startsWith(range.prefix)) continue;
      if (key <= last && last !== '') throw outOfOrder(last, key);
      last = key;
      found.push({ key, size });
    }
    const next = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (page.IsTruncated === true && (next === undefined || next === token)) {
      throw new StoreError('TM_STORE_IO', 'the store does not say how a listing goes on', {
        context: { prefix: range.prefix },
      });
    }
    token = next;
    if (found.length > 0) yield found;
  } while (token !== undefined);
}

interface Page {
  readonly Contents?:
    | readonly { readonly Key?: string | undefined; readonly Size?: number | undefined }[]
    | undefined;
  readonly IsTruncated?: boolean | undefined;
  readonly NextContinuationToken?: string | undefined;
}

async function readPage(
  requests: Requests,
  range: ListRange,
  token: string | undefined,
): Promise<Page> {
  const most = requests.limits.pageKeys;
  const pageKeys = token === undefined ? Math.min(most, Math.max(1, range.first ?? most)) : most;
  const value = await requests.send(
    { operation: 'ListObjectsV2', action: 's3:ListBucket', key: null, signal: range.signal },
    (client, http) =>
      client.send(
        new ListObjectsV2Command({
          Bucket: range.bucket,
          Prefix: rootOf(range.storePrefix) + range.prefix,
          MaxKeys: pageKeys,
          ...(token === undefined ? {} : { ContinuationToken: token }),
          ...(range.after === '' ? {} : { StartAfter: nameOf(range.storePrefix, range.after) }),
        }),
        http,
      ),
  );
  return value;
}

function outOfOrder(last: string, key: string): StoreError {
  return new StoreError('TM_STORE_REFUSED', 'the store does not list in byte order', {
    context: { after: last, key },
    hint: 'Tidemark cannot use this kind of bucket: see docs/s3.md',
  });
}
