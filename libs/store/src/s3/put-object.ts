import { PutObjectCommand, DeleteObjectCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@tidemark/core';
import type { PutOutcome } from '../object-store.ts';
import type { S3StoreSettings } from '../open-store.ts';
import { addCrc32, crc32Text, md5Of } from './checksums.ts';
import type { S3Failure } from './failure.ts';
import { readFacts, type ObjectFacts, type ObjectPlace } from './object-facts.ts';
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
  const sent = { size: bytes.length, crc32, md5: md5.hex };
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
      const etag = value.ETag?.replaceAll('"', '');
      // What the server itself computed of what it stored needs no second look.
      if (value.ChecksumCRC32 !== crc32 && etag !== md5.hex) {
        await assertStored(requests, object, sent);
      }
      return 'created';
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      const { failure } = cause;
      const outcome = failure.status === 412 ? await whatIsThere(requests, object, sent) : null;
      if (outcome !== null) return outcome;
      if (conflicts >= CONFLICTS_MAX) {
        throw failure.status === 412 ? neverFree(object, failure) : requests.errorOf(failure, call);
      }
      await requests.pause(conflicts + 1, object.signal);
    }
  }
}

/**
 * Says what a refusal meant. What is there may be of this put: an answer may have been lost, and a
 * network may send a request twice; then it is held against what was sent.
 * @returns Null when nothing is there any more: the put is to be sent again.
 */
async function whatIsThere(
  requests: Requests,
  object: NewObject,
  sent: SentBytes,
): Promise<PutOutcome | null> {
  const facts = await readFacts(requests, object, object.signal);
  if (facts === null) return null;
  if (facts.putId !== object.putId) return 'exists';
  await assertFacts(requests, object, sent, facts);
  return 'created';
}

function neverFree({ key }: NewObject, { status, code, cause }: S3Failure): StoreError {
  return new StoreError(
    'TM_STORE_IO',
    'the store says that a key is taken and holds nothing there',
    {
      context: { key, status, reason: code },
      hint: 'it is tried again later',
      cause,
    },
  );
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
  await assertFacts(requests, object, sent, await readFacts(requests, object, object.signal));
}

async function assertFacts(
  requests: Requests,
  object: NewObject,
  sent: SentBytes,
  facts: ObjectFacts | null,
): Promise<void> {
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
