import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { StoreCapabilities } from '../object-store.ts';
import type { S3StoreSettings } from '../open-store.ts';
import { readBucketRules } from './bucket-rules.ts';
import { rootOf } from './object-name.ts';
import { S3Answer, type Requests } from './requests.ts';

const RACERS = 3;
const BODY = Buffer.from('tidemark probe\n');
/** In byte order; an order by language or by folder is another one. */
const ORDERED = ['a', 'a-1/x', 'a.1/x', 'a/b', 'a0', 'a_'];

/**
 * Asks a bucket what it really does: puts, reads, lists and deletes small objects below
 * `<prefix>/probe-<random>/`, past the adapter, which would hide what is missing.
 * @throws StoreError for what keeps any store from working.
 */
export async function probeBucket(
  requests: Requests,
  settings: S3StoreSettings,
  signal?: AbortSignal,
): Promise<StoreCapabilities> {
  const { bucket, prefix } = settings;
  const root = rootOf(prefix);
  const folder = `${root}probe-${requests.random.bytes(8).toString('hex')}/`;
  const probe = new Probe(requests, bucket, folder, signal);
  try {
    return {
      conditionalCreate: await probe.conditionalCreate(),
      multipartConditional: await probe.multipartConditional(),
      ranges: await probe.ranges(),
      listingOrdered: await probe.listingOrdered(),
      ...(await readBucketRules(requests, { bucket, root }, signal)),
    };
  } finally {
    await probe.clean();
  }
}

class Probe {
  readonly #requests: Requests;
  readonly #bucket: string;
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  readonly #made = new Set<string>();

  constructor(requests: Requests, bucket: string, folder: string, signal: AbortSignal | undefined) {
    this.#requests = requests;
    this.#bucket = bucket;
    this.#folder = folder;
    this.#signal = signal;
  }

  /** The second put is refused, and of several at once one wins. */
  async conditionalCreate(): Promise<boolean> {
    const first = await this.#put('once!', true);
    const second = await this.#put('once!', true);
    const race = await Promise.all(Array.from({ length: RACERS }, () => this.#put('race!', true)));
    return first && !second && race.filter((won) => won).length === 1;
  }

  /** The same for objects in parts, of which a single one may be small. */
  async multipartConditional(): Promise<StoreCapabilities['multipartConditional']> {
    if (!(await this.#putParts('parts!'))) return 'none';
    if (await this.#putParts('parts!')) return 'none';
    const uploads = await Promise.all(
      Array.from({ length: RACERS }, () => this.#beginParts('parts-race!')),
    );
    const race = await Promise.all(uploads.map((upload) => this.#complete(upload)));
    return race.filter((won) => won).length === 1 ? 'holds' : 'sequential';
  }

  async ranges(): Promise<boolean> {
    await this.#put('range!', false);
    const value = await this.#requests.send(
      { operation: 'GetObject', action: 's3:GetObject', key: null, signal: this.#signal },
      async (client, http) => {
        const answer = await client.send(
          new GetObjectCommand({ ...this.#target('range!'), Range: 'bytes=3-5' }),
          http,
        );
        return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
      },
    );
    return value.equals(BODY.subarray(3, 6));
  }

  async listingOrdered(): Promise<boolean> {
    for (const name of [...ORDERED].reverse()) await this.#put(`order/${name}!`, false);
    const prefix = `${this.#folder}order/`;
    const value = await this.#requests.send(
      { operation: 'ListObjectsV2', action: 's3:ListBucket', key: null, signal: this.#signal },
      (client, http) =>
        client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: prefix,
            StartAfter: `${prefix}${ORDERED[0] ?? ''}!`,
          }),
          http,
        ),
    );
    const names = (value.Contents ?? []).map(({ Key: name = '' }) => name.slice(prefix.length, -1));
    return JSON.stringify(names) === JSON.stringify(ORDERED.slice(1));
  }

  async clean(): Promise<void> {
    for (const name of this.#made) {
      await this.#requests
        .send({ operation: 'DeleteObject', action: 's3:DeleteObject', key: null }, (client, http) =>
          client.send(new DeleteObjectCommand(this.#target(name)), http),
        )
        .catch(() => undefined); // the probe is told by what it found; 15 bytes may stay
    }
  }

  /** @returns Whether it was made; false when the server refused because the name is taken. */
  async #put(name: string, once: boolean): Promise<boolean> {
    this.#made.add(name);
    return this.#wins('PutObject', [409, 412, 501], (client, http) =>
      client.send(
        new PutObjectCommand({
          ...this.#target(name),
          Body: BODY,
          ContentLength: BODY.length,
          ...(once ? { IfNoneMatch: '*' } : {}),
        }),
        http,
      ),
    );
  }

  async #putParts(name: string): Promise<boolean> {
    return this.#complete(await this.#beginParts(name));
  }

  async #beginParts(name: string): Promise<ProbeUpload> {
    this.#made.add(name);
    const call = { action: 's3:PutObject', key: null, signal: this.#signal };
    const begun = await this.#requests.send(
      { ...call, operation: 'CreateMultipartUpload' },
      (client, http) => client.send(new CreateMultipartUploadCommand(this.#target(name)), http),
    );
    const id = begun.UploadId ?? '';
    const part = await this.#requests.send({ ...call, operation: 'UploadPart' }, (client, http) =>
      client.send(
        new UploadPartCommand({
          ...this.#target(name),
          UploadId: id,
          PartNumber: 1,
          Body: BODY,
          ContentLength: BODY.length,
        }),
        http,
      ),
    );
    return { name, id, etag: part.ETag ?? '' };
  }

  async #complete({ name, id, etag }: ProbeUpload): Promise<boolean> {
    const upload = { ...this.#target(name), UploadId: id };
    const won = await this.#wins('CompleteMultipartUpload', [404, 409, 412, 501], (client, http) =>
      client.send(
        new CompleteMultipartUploadCommand({
          ...upload,
          IfNoneMatch: '*',
          MultipartUpload: { Parts: [{ PartNumber: 1, ETag: etag }] },
        }),
        http,
      ),
    );
    if (!won) {
      await this.#wins('AbortMultipartUpload', [404, 409], (client, http) =>
        client.send(new AbortMultipartUploadCommand(upload), http),
      );
    }
    return won;
  }

  async #wins(
    operation: string,
    answers: readonly number[],
    work: Parameters<Requests['send']>[1],
  ): Promise<boolean> {
    try {
      const call = { operation, action: 's3:PutObject', key: null, signal: this.#signal, answers };
      await this.#requests.send(call, work);
      return true;
    } catch (cause) {
      if (cause instanceof S3Answer && cause.failure.code !== 'NoSuchBucket') return false;
      throw cause instanceof S3Answer
        ? this.#requests.errorOf(cause.failure, { operation, action: 's3:PutObject', key: null })
        : cause;
    }
  }

  #target(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#folder + name };
  }
}

interface ProbeUpload {
  readonly name: string;
  readonly id: string;
  readonly etag: string;
}
