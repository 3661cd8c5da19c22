import { PutObjectCommand, DeleteObjectCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@tidemark/core';
import type { PutOutcome } from '../object-store.ts';
import type { S3StoreSettings } from '../open-store.ts';
import { addCrc32, crc32Text, md5Of } from './checksums.ts';
import { readFacts, type ObjectPlace } from './object-facts.ts';
import type { StoredAs } from './put-options.ts';
import { S3Answer, type Requests } from './requests.ts';

/** An object that is to be made. */
export interface NewObject extends ObjectPlace {
  readonly settings: S3StoreSettings;
  readonly storedAs: StoredAs;
  /** As in its metadata. */
  readonly putId: string;
  readonly signal: AbortSignal | undefined;
}

/** What is known of bytes that were sent. */
export interface SentBytes {
  readonly size: number;
  readonly crc32: string;
  /** MD5 in hex where the object went in one piece. */
  readonly md5: string | null;
}

const CONDITIONAL = { answers: [409, 412] } as const;
/** How often a put that ran into another one on its key is sent again. */
const CONFLICTS_MAX = 5;

/** Makes an object by one request that fails when the name is taken. */
export async function putWhole(
  requests: Requests,
  object: NewObject,
  bytes: Buffer,
): Promise<PutOutcome> {
  const md5 = md5Of(bytes);
  const crc32 = crc32Text(addCrc32(bytes));
  const sum =
    object.settings.checksum === 'when_supported'
      ? { ChecksumCRC32: crc32 }
      : { ContentMD5: md5.base64 };
  const input = {
    Bucket: object.bucket,
    Key: object.name,
    Body: bytes,
    ContentLength: bytes.length,
    ContentType: 'application/octet-stream',
    IfNoneMatch: '*',
    ...sum,
    ...object.storedAs,
  };
  const call = {
    operation: 'PutObject',
    action: 's3:PutObject',
    key: object.key,
    signal: object.signal,
    bytes: bytes.length,
    ...CONDITIONAL,
  };
  for (let conflicts = 0; ; conflicts++) {
    try {
      const value = await requests.send(call, (client, http) =>
        client.send(new PutObjectCommand(input), http),
      );
      const sent = { size: bytes.length, crc32, md5: md5.hex };
      const etag = value.ETag?.replaceAll('"', '');
      // What the server itself computed of what it stored needs no second look.
      if (value.ChecksumCRC32 !== crc32 && etag !== md5.hex) {
        await assertStored(requests, object, sent);
      }
      return 'created';
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      if (cause.failure.status === 412) return whoseIs(requests, object);
      if (conflicts >= CONFLICTS_MAX) throw requests.errorOf(cause.failure, call);
      await requests.pause(conflicts + 1, object.signal);
    }
  }
}

/**
 * Whether an object that is there is the one this put made: an answer may have been lost, and a
 * network may send a request twice.
 */
export async function whoseIs(requests: Requests, object: NewObject): Promise<PutOutcome> {
  const facts = await readFacts(requests, object, object.signal);
  return facts?.putId === object.putId ? 'created' : 'exists';
}

/**
 * Compares what the server holds with what was sent, by size and by the sum it keeps. What differs
 * is taken away: it would look whole.
 * @throws StoreError `TM_STORE_IO`.
 */
export async function assertStored(
  requests: Requests,
  object: NewObject,
  sent: SentBytes,
): Promise<void> {
  const facts = await readFacts(requests, object, object.signal);
  const sumDiffers = facts?.crc32 != null && facts.crc32 !== sent.crc32;
  if (facts?.size === sent.size && !sumDiffers) return;
  if (facts !== null && facts.putId === object.putId) {
    await requests.send(
      { operation: 'DeleteObject', action: 's3:DeleteObject', key: object.key },
      (client, http) =>
        client.send(new DeleteObjectCommand({ Bucket: object.bucket, Key: object.name }), http),
    );
  }
  throw new StoreError('TM_STORE_IO', 'the store holds other bytes than were sent', {
    context: { key: object.key, size: sent.size, stored: facts?.size ?? null, sumDiffers },
  });
}
