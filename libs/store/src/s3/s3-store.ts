import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { StoreError, type ByteSource } from '@tidemark/core';
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '../object-store.ts';
import type { CollectStray } from '../collect-stray.ts';
import type { VersionAccess } from '../object-versions.ts';
import type { S3StoreSettings, StorePorts } from '../open-store.ts';
import type { PresignGet } from '../presign.ts';
import type { ProbeOwn } from '../probe-store.ts';
import type { TellTime } from '../store-clock.ts';
import { BodyParts } from './body-parts.ts';
import { makeClient } from './client.ts';
import { S3_LIMITS } from './limits.ts';
import { listObjects } from './list-objects.ts';
import { readFacts, type ObjectPlace } from './object-facts.ts';
import { nameOf, rootOf } from './object-name.ts';
import { presignObject } from './presign.ts';
import { probeBucket } from './probe-bucket.ts';
import { putWhole } from './put-object.ts';
import { storedAs } from './put-options.ts';
import { putParts } from './put-parts.ts';
import { readObject } from './read-object.ts';
import { Requests, S3Answer } from './requests.ts';
import { collectStrayUploads } from './stray-uploads.ts';
import { tellTime } from './tell-time.ts';
import { S3Versions } from './versions.ts';

/**
 * Opens a store in a bucket. Nothing is asked of the server before the first call, so that an
 * archiver whose store is away can begin.
 * @throws StoreError `TM_STORE_URL` for an endpoint that may not be used.
 * @see docs/s3.md
 */
export function openS3Store(settings: S3StoreSettings, ports: StorePorts): ObjectStore {
  const limits = { ...S3_LIMITS, ...ports.s3Limits };
  const client = makeClient(settings, limits);
  const requests = new Requests(client, limits, ports.random, settings.bucket);
  return new S3Store(settings, requests, ports);
}

class S3Store implements ObjectStore {
  readonly url: string;
  readonly presignGet: PresignGet;
  readonly collectStray: CollectStray;
  readonly probe: ProbeOwn;
  readonly tellTime: TellTime;
  readonly versions: VersionAccess;
  readonly #settings: S3StoreSettings;
  readonly #requests: Requests;
  readonly #ports: StorePorts;

  constructor(settings: S3StoreSettings, requests: Requests, ports: StorePorts) {
    this.#settings = settings;
    this.#requests = requests;
    this.#ports = ports;
    const { bucket, prefix } = settings;
    this.url = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    const place = { bucket, root: rootOf(prefix) };
    this.presignGet = (key, seconds) => presignObject(requests, this.#place(key), seconds);
    this.collectStray = (beforeMs, signal) =>
      collectStrayUploads(requests, { ...place, beforeMs, signal });
    this.tellTime = (signal) => tellTime(requests, place, signal);
    this.probe = (signal) => probeBucket(requests, settings, signal);
    this.versions = new S3Versions(requests, { bucket, storePrefix: prefix });
  }

  async putIfAbsent(key: string, body: ByteSource, options: PutOptions = {}): Promise<PutOutcome> {
    const place = this.#place(key);
    const { signal } = options;
    signal?.throwIfAborted();
    const { random, clock } = this.#ports;
    const putId = random.bytes(16).toString('hex');
    const object = {
      ...place,
      settings: this.#settings,
      storedAs: storedAs(this.#settings, key, { id: putId, nowMs: clock.nowMs() }),
      putId,
      signal,
    };
    const parts = new BodyParts(body, signal);
    try {
      const first = await parts.next(this.#settings.partSize);
      return first.last
        ? await putWhole(this.#requests, object, first.bytes)
        : await putParts(this.#requests, object, first, parts);
    } finally {
      parts.close();
    }
  }

  async *get(key: string, options: GetOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    yield* readObject(this.#requests, this.#place(key), options);
  }

  async head(key: string): Promise<ObjectInfo | null> {
    const facts = await readFacts(this.#requests, this.#place(key));
    return facts === null ? null : { key, size: facts.size };
  }

  async *list(
    prefix: string,
    options: ListOptions = {},
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    assertKeyPrefix(prefix);
    const { after = '', first, signal } = options;
    const { bucket, prefix: storePrefix } = this.#settings;
    yield* listObjects(this.#requests, { bucket, storePrefix, prefix, after, first, signal });
  }

  async delete(key: string): Promise<void> {
    const place = this.#place(key);
    const call = { operation: 'DeleteObject', action: 's3:DeleteObject', key };
    try {
      await this.#requests.send({ ...call, answers: [400, 403, 404] }, (client, http) =>
        client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: place.name }), http),
      );
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      const { failure } = cause;
      if (failure.meansNoObject) return;
      const facts =
        failure.status === 403
          ? await readFacts(this.#requests, place).catch(() => null) // it may not be asked either
          : null;
      if ((facts?.lockedUntilMs ?? 0) > this.#ports.clock.nowMs()) {
        throw new StoreError('TM_STORE_LOCKED', 'an object is locked against deletion', {
          context: { key, untilMs: facts?.lockedUntilMs ?? null },
          hint: 'it can be deleted when its Object Lock has ended',
        });
      }
      throw this.#requests.errorOf(failure, call);
    }
  }

  #place(key: string): ObjectPlace {
    assertObjectKey(key);
    const { bucket, prefix } = this.#settings;
    return { bucket, key, name: nameOf(prefix, key) };
  }
}
