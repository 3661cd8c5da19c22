import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { PUT_ID } from './put-options.ts';
import { S3Answer, type Requests } from './requests.ts';

/** What a server tells of an object without its bytes. */
export interface ObjectFacts {
  /** Bytes. */
  readonly size: number;
  readonly etag: string | null;
  /** Of the whole object, base64; null where the server keeps none. */
  readonly crc32: string | null;
  /** Which put made it; null for an object that Tidemark did not write. */
  readonly putId: string | null;
  /** Nobody may delete it before; null without a lock. */
  readonly lockedUntilMs: number | null;
}

/** Where an object is. */
export interface ObjectPlace {
  readonly bucket: string;
  readonly name: string;
  readonly key: string;
}

/**
 * Asks for an object.
 * @returns null when there is none.
 * @throws StoreError as `Requests.send`.
 */
export async function readFacts(
  requests: Requests,
  place: ObjectPlace,
  signal?: AbortSignal,
): Promise<ObjectFacts | null> {
  const target = { Bucket: place.bucket, Key: place.name };
  const call = { operation: 'HeadObject', action: 's3:GetObject', key: place.key, signal };
  try {
    const value = await requests.send(
      { ...call, answers: [301, 400, 401, 403, 404] },
      (client, http) =>
        client.send(new HeadObjectCommand({ ...target, ChecksumMode: 'ENABLED' }), http),
    );
    const whole = value.ChecksumType !== 'COMPOSITE' && !value.ChecksumCRC32?.includes('-');
    return {
      size: value.ContentLength ?? 0,
      etag: value.ETag ?? null,
      crc32: whole ? (value.ChecksumCRC32 ?? null) : null,
      putId: value.Metadata?.[PUT_ID] ?? null,
      lockedUntilMs: value.ObjectLockRetainUntilDate?.getTime() ?? null,
    };
  } catch (cause) {
    if (!(cause instanceof S3Answer)) throw cause;
    const { status } = cause.failure;
    if (status === 404 && requests.served) return null;
    // An answer to HEAD has no body: whether the object is missing or the bucket, it does not say.
    await askWhy(requests, place, signal);
    if (status === 404) return null;
    throw requests.errorOf(cause.failure, call);
  }
}

/** Asks by GET what HEAD could not say. @throws StoreError with the reason. */
async function askWhy(
  requests: Requests,
  place: ObjectPlace,
  signal: AbortSignal | undefined,
): Promise<void> {
  const call = { operation: 'GetObject', action: 's3:GetObject', key: place.key, signal };
  try {
    await requests.send({ ...call, answers: [404, 416] }, async (client, http) => {
      const answer = await client.send(
        new GetObjectCommand({ Bucket: place.bucket, Key: place.name, Range: 'bytes=0-0' }),
        http,
      );
      await answer.Body?.transformToByteArray();
    });
  } catch (cause) {
    if (!(cause instanceof S3Answer)) throw cause;
    const { failure } = cause;
    if (failure.status === 404 && !failure.meansNoObject) throw requests.errorOf(failure, call);
  }
}
