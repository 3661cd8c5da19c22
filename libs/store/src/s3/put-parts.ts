import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  type CompletedPart,
} from '@aws-sdk/client-s3';
import { StoreError } from '@tidemark/core';
import type { PutOutcome } from '../object-store.ts';
import type { BodyPart, BodyParts } from './body-parts.ts';
import { addCrc32, crc32Text, md5Of } from './checksums.ts';
import { PARTS_MAX, PART_BYTES_MAX } from './limits.ts';
import { readFacts } from './object-facts.ts';
import { assertStored, type NewObject } from './put-object.ts';
import { S3Answer, type Requests, type S3Call } from './requests.ts';

/** Parts of one size before they double: 10,000 parts of 8 MiB alone would be 78 GiB. */
const PARTS_PER_SIZE = 2_000;
const ABORT_MS_MAX = 10_000;

/** Bytes of part `number` (from 1) when the first ones have `first`. */
export function partBytes(number: number, first: number): number {
  return Math.min(PART_BYTES_MAX, first * 2 ** Math.floor((number - 1) / PARTS_PER_SIZE));
}

/**
 * Makes a large object in parts, of which `concurrency` are under way. It becomes visible by the
 * last request alone, which fails when the name is taken. Whatever goes wrong, the parts are let go.
 */
export async function putParts(
  requests: Requests,
  object: NewObject,
  first: BodyPart,
  rest: BodyParts,
): Promise<PutOutcome> {
  if ((await readFacts(requests, object, object.signal)) !== null) return 'exists';
  const upload = await Upload.begin(requests, object);
  try {
    await upload.sendAll(first, rest);
    return await upload.complete();
  } catch (cause) {
    await upload.abort();
    throw cause;
  }
}

class Upload {
  readonly #requests: Requests;
  readonly #object: NewObject;
  readonly #id: string;
  readonly #parts: CompletedPart[] = [];
  /** Ends the parts that are under way when one fails. */
  readonly #control = new AbortController();
  #crc32 = 0;
  #size = 0;

  private constructor(requests: Requests, object: NewObject, id: string) {
    this.#requests = requests;
    this.#object = object;
    this.#id = id;
  }

  static async begin(requests: Requests, object: NewObject): Promise<Upload> {
    const value = await requests.send(
      callOf(object, 'CreateMultipartUpload', 's3:PutObject', object.signal),
      (client, http) =>
        client.send(
          new CreateMultipartUploadCommand({
            Bucket: object.bucket,
            Key: object.name,
            ContentType: 'application/octet-stream',
            ...(object.settings.checksum === 'when_supported'
              ? { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' }
              : {}),
            ...object.storedAs,
          }),
          http,
        ),
    );
    if (value.UploadId === undefined) {
      throw new StoreError('TM_STORE_REFUSED', 'the store began an upload without an id', {
        context: { key: object.key },
      });
    }
    return new Upload(requests, object, value.UploadId);
  }

  /** Sends every part; memory holds those that are under way and the next one. */
  async sendAll(first: BodyPart, rest: BodyParts): Promise<void> {
    const { partSize, concurrency } = this.#object.settings;
    const bytesMax = partSize * concurrency;
    const underWay = new Set<Promise<void>>();
    let bytesUnderWay = 0;
    const failures: unknown[] = [];
    const stop = (): void => this.#control.abort();
    this.#object.signal?.addEventListener('abort', stop, { once: true });
    try {
      for (let number = 1, part = first; ; number++) {
        if (number > PARTS_MAX) throw this.#tooLarge();
        const { length } = part.bytes;
        while (underWay.size > 0 && bytesUnderWay + length > bytesMax) await Promise.race(underWay);
        if (failures.length > 0) throw failures[0];
        bytesUnderWay += length;
        const sending: Promise<void> = this.#send(number, part.bytes)
          .catch((cause: unknown) => {
            failures.push(cause);
            stop();
          })
          .finally(() => {
            bytesUnderWay -= length;
            underWay.delete(sending);
          });
        underWay.add(sending);
        if (part.last) break;
        part = await rest.next(partBytes(number + 1, partSize));
      }
      await Promise.all(underWay);
      if (failures.length > 0) throw failures[0];
    } catch (cause) {
      stop();
      await Promise.all(underWay);
      this.#object.signal?.throwIfAborted();
      throw cause;
    } finally {
      this.#object.signal?.removeEventListener('abort', stop);
    }
  }

  async #send(number: number, bytes: Buffer): Promise<void> {
    this.#crc32 = addCrc32(bytes, this.#crc32); // in the order of the parts: before the first await
    this.#size += bytes.length;
    const object = this.#object;
    const whole = object.settings.checksum === 'when_supported';
    const crc32 = whole ? crc32Text(addCrc32(bytes)) : null;
    const value = await this.#requests.send(
      {
        ...callOf(object, 'UploadPart', 's3:PutObject', this.#control.signal),
        bytes: bytes.length,
        attempts: this.#requests.limits.partAttempts,
      },
      (client, http) =>
        client.send(
          new UploadPartCommand({
            Bucket: object.bucket,
            Key: object.name,
            UploadId: this.#id,
            PartNumber: number,
            Body: bytes,
            ContentLength: bytes.length,
            ...(crc32 === null ? { ContentMD5: md5Of(bytes).base64 } : { ChecksumCRC32: crc32 }),
          }),
          http,
        ),
    );
    this.#parts[number - 1] = {
      PartNumber: number,
      ETag: value.ETag,
      ...(crc32 === null ? {} : { ChecksumCRC32: crc32 }),
    };
  }

  async complete(): Promise<PutOutcome> {
    const object = this.#object;
    const crc32 = crc32Text(this.#crc32);
    const sums =
      object.settings.checksum === 'when_supported'
        ? { ChecksumType: 'FULL_OBJECT' as const, ChecksumCRC32: crc32 }
        : {};
    const call = {
      ...callOf(object, 'CompleteMultipartUpload', 's3:PutObject', object.signal),
      // A server joins the parts before it answers.
      bytes: this.#size,
      answers: [404, 409, 412],
    };
    try {
      await this.#requests.send(call, (client, http) =>
        client.send(
          new CompleteMultipartUploadCommand({
            Bucket: object.bucket,
            Key: object.name,
            UploadId: this.#id,
            IfNoneMatch: '*',
            MultipartUpload: { Parts: this.#parts },
            ...sums,
          }),
          http,
        ),
      );
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      const outcome = await this.#afterRefusal(cause, call);
      if (outcome === 'exists') {
        await this.abort();
        return outcome;
      }
    }
    await assertStored(this.#requests, object, { size: this.#size, crc32, md5: null });
    return 'created';
  }

  /** The name is taken, somebody is at it, or the upload is gone: by an earlier try of ours? */
  async #afterRefusal(answer: S3Answer, call: S3Call): Promise<PutOutcome> {
    const { status } = answer.failure;
    const facts = await readFacts(this.#requests, this.#object, this.#object.signal);
    if (facts !== null) return facts.putId === this.#object.putId ? 'created' : 'exists';
    // Nothing is there. The same upload cannot be completed any more: the caller begins anew.
    throw new StoreError('TM_STORE_IO', 'an upload in parts was lost before it was complete', {
      context: { key: this.#object.key, status, reason: answer.failure.code },
      hint: `${call.operation} is tried again with a new upload`,
      cause: answer.failure.cause,
    });
  }

  /** Lets the parts go; what cannot be let go now is collected later (`tidemark repo collect`). */
  async abort(): Promise<void> {
    const object = this.#object;
    const signal = AbortSignal.timeout(ABORT_MS_MAX);
    await this.#requests
      .send(
        {
          ...callOf(object, 'AbortMultipartUpload', 's3:AbortMultipartUpload', signal),
          answers: [404],
        },
        (client, http) =>
          client.send(
            new AbortMultipartUploadCommand({
              Bucket: object.bucket,
              Key: object.name,
              UploadId: this.#id,
            }),
            http,
          ),
      )
      .catch(() => undefined);
  }

  #tooLarge(): StoreError {
    return new StoreError('TM_LIMIT', 'an object is over what S3 holds in parts', {
      context: { key: this.#object.key, parts: PARTS_MAX, bytes: this.#size },
      hint: 'set a larger store.part_size',
    });
  }
}

function callOf(
  object: NewObject,
  operation: string,
  action: string,
  signal: AbortSignal | undefined,
): S3Call {
  return { operation, action, key: object.key, signal };
}
