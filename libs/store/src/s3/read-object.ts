import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { StoreError } from '@tidemark/core';
import type { GetOptions } from '../object-store.ts';
import { S3Failure } from './failure.ts';
import { PROGRESS_BYTES } from './limits.ts';
import { readFacts, type ObjectPlace } from './object-facts.ts';
import { S3Answer, type Requests } from './requests.ts';

const CHUNK_BYTES_MAX = 1024 * 1024;

/** The error for an object that is not there. */
export function missing(key: string): StoreError {
  return new StoreError('TM_STORE_MISSING', 'an object is not in the store', { context: { key } });
}

/**
 * Reads a range of an object. A body that breaks off, stalls or comes too slowly is asked for again
 * from where it stopped, of the same object (`If-Match`), as long as it moves at all.
 *
 * @throws StoreError as `ObjectStore.get` says.
 */
export async function* readObject(
  requests: Requests,
  place: ObjectPlace,
  options: GetOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  const reading = new Reading(requests, place, options);
  await reading.begin();
  yield* reading.chunks();
}

class Reading {
  readonly #requests: Requests;
  readonly #place: ObjectPlace;
  readonly #options: GetOptions;
  #position: number;
  /** Exclusive; known with the first answer. */
  #end = 0;
  #etag: string | null = null;
  #body: Readable | null = null;
  /** What the body still has, as its answer says. */
  #bodyLeft = 0;
  #attempt = 1;
  #sinceProgress = 0;
  /** Time spent waiting for the server since it last made progress. */
  #waitedMs = 0;

  constructor(requests: Requests, place: ObjectPlace, options: GetOptions) {
    this.#requests = requests;
    this.#place = place;
    this.#options = options;
    this.#position = options.start ?? 0;
  }

  /** Asks for the first bytes; refuses a range that does not lie within the object. */
  async begin(): Promise<void> {
    const { start = 0, end } = this.#options;
    const odd = !isWhole(start) || (end !== undefined && (!isWhole(end) || end <= start));
    if (odd) {
      await this.#measure();
      return;
    }
    try {
      // Always by a range: its answer says the size of the object beside that of the body.
      const last = end === undefined ? '' : String(end - 1);
      const answer = await this.#open(`bytes=${start}-${last}`);
      const size = sizeOf(answer) ?? (await this.#size());
      this.#end = end ?? size;
      if (this.#end > size) {
        this.#drop();
        throw outOfRange(this.#place.key, this.#options, size);
      }
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      if (cause.failure.status === 404) {
        throw notFound(this.#requests, cause.failure, this.#place.key);
      }
      await this.#measure(); // 416: it may end exactly where the range begins
    }
  }

  /** Where an answer does not say how much there is. */
  async #size(): Promise<number> {
    const facts = await readFacts(this.#requests, this.#place, this.#options.signal);
    if (facts === null) throw missing(this.#place.key);
    return facts.size;
  }

  /** For ranges of no bytes, which HTTP cannot ask for, and those that make no sense. */
  async #measure(): Promise<void> {
    const size = await this.#size();
    const { start = 0, end = size } = this.#options;
    const sound = isWhole(start) && isWhole(end) && start <= end && end <= size;
    if (!sound || end > start) throw outOfRange(this.#place.key, this.#options, size);
    this.#end = start;
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      while (this.#position < this.#end) {
        const chunk = await this.#next();
        for (let at = 0; at < chunk.length; at += CHUNK_BYTES_MAX) {
          yield chunk.subarray(at, at + CHUNK_BYTES_MAX);
          this.#options.signal?.throwIfAborted();
        }
      }
    } finally {
      this.#drop();
    }
  }

  /** The next bytes, over as many answers as it takes. */
  async #next(): Promise<Uint8Array> {
    const { signal } = this.#options;
    for (;;) {
      try {
        if (this.#body === null) await this.#resume();
        const chunk = await this.#pull();
        if (chunk === null) throw new Error('the body ended before its length');
        return this.#count(chunk);
      } catch (cause) {
        this.#drop();
        signal?.throwIfAborted();
        if (cause instanceof StoreError) throw cause;
        const { key } = this.#place;
        const failure = new S3Failure(cause instanceof S3Answer ? cause.failure.cause : cause);
        const call = { operation: 'GetObject', action: 's3:GetObject', key };
        if (cause instanceof S3Answer || this.#attempt >= this.#requests.limits.attempts) {
          throw cause instanceof S3Answer && failure.meansNoObject
            ? missing(key)
            : this.#requests.errorOf(failure, call);
        }
        await this.#requests.pause(this.#attempt++, signal);
      }
    }
  }

  #count(chunk: Buffer): Uint8Array {
    // A server that does not know ranges sends the rest as well.
    const wanted = chunk.subarray(0, this.#end - this.#position);
    this.#bodyLeft -= chunk.length;
    this.#position += wanted.length;
    this.#sinceProgress += wanted.length;
    if (this.#sinceProgress >= PROGRESS_BYTES) {
      this.#attempt = 1;
      this.#sinceProgress = 0;
      this.#waitedMs = 0;
    }
    return wanted;
  }

  async #resume(): Promise<void> {
    await this.#open(`bytes=${this.#position}-${this.#end - 1}`);
  }

  async #open(range: string): Promise<GetObjectCommandOutput> {
    const { key, name, bucket } = this.#place;
    const value = await this.#requests.send(
      {
        operation: 'GetObject',
        action: 's3:GetObject',
        key,
        signal: this.#options.signal,
        answers: [404, 412, 416],
      },
      async (client, http) => {
        const answer = await client.send(
          new GetObjectCommand({
            Bucket: bucket,
            Key: name,
            Range: range,
            ...(this.#etag === null ? {} : { IfMatch: this.#etag }),
          }),
          http,
        );
        this.#take(answer);
        return answer;
      },
    );
    return value;
  }

  /** Keeps the body of an answer that is about the range that was asked for. */
  #take(answer: GetObjectCommandOutput): void {
    const body = answer.Body as Readable | undefined;
    const begins = startOf(answer) ?? 0;
    if (body === undefined || begins !== this.#position) {
      body?.on('error', () => undefined).destroy();
      throw Object.assign(new Error('the answer is about another range'), { name: 'WrongRange' });
    }
    body.on('error', () => undefined); // told by the next read
    this.#etag ??= answer.ETag ?? null;
    this.#body = body;
    this.#bodyLeft = answer.ContentLength ?? Infinity;
    this.#waitedMs = 0;
  }

  /** The next chunk of the body; null at its end. Only time spent waiting counts as its own. */
  async #pull(): Promise<Buffer | null> {
    const body = this.#body;
    if (body === null) return null;
    const { signal } = this.#options;
    const early = body.read() as Buffer | null;
    if (early !== null) return early;
    if (body.readableEnded) return null;
    if (body.destroyed) throw body.errored ?? new Error('the connection was closed');
    const began = performance.now();
    const patienceMs = Math.max(0, this.#requests.limits.stallMs - this.#waitedMs);
    await new Promise<void>((resolve, reject) => {
      const stalled = Object.assign(new Error('the body stalls'), { name: 'TimeoutError' });
      const timer = setTimeout(() => done(stalled), patienceMs);
      const onReady = (): void => done(null);
      const onClose = (): void => done(body.readableEnded ? null : new Error('closed early'));
      const onError = (error: Error): void => done(error);
      const onAbort = (): void => done(signal?.reason as Error);
      const done = (error: Error | null): void => {
        clearTimeout(timer);
        body.off('readable', onReady).off('end', onReady).off('close', onClose);
        body.off('error', onError);
        signal?.removeEventListener('abort', onAbort);
        if (error === null) resolve();
        else reject(error);
      };
      body.on('readable', onReady).on('end', onReady).on('close', onClose).on('error', onError);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
    this.#waitedMs += performance.now() - began;
    return this.#pull();
  }

  /** Lets the connection go: for the next request, or for good when bytes of this one are left. */
  #drop(): void {
    if (this.#bodyLeft === 0) this.#body?.resume();
    else this.#body?.destroy();
    this.#body = null;
  }
}

function isWhole(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** First byte of the answer to a range; null when the server answered with the whole object. */
function startOf(answer: GetObjectCommandOutput): number | null {
  const [, start] = /^bytes (\d+)-/.exec(answer.ContentRange ?? '') ?? [];
  return start === undefined ? null : Number(start);
}

/** Size of the whole object, as the answer says it. */
function sizeOf(answer: GetObjectCommandOutput): number | null {
  const [, size] = /\/(\d+)$/.exec(answer.ContentRange ?? '') ?? [];
  return size === undefined ? (answer.ContentLength ?? null) : Number(size);
}

function outOfRange(key: string, options: GetOptions, size: number): StoreError {
  const { start = 0, end = size } = options;
  return new StoreError('TM_STORE_RANGE', 'a range does not lie within the object', {
    context: { key, start, end, size },
  });
}

function notFound(requests: Requests, failure: S3Failure, key: string): Error {
  if (failure.meansNoObject) return missing(key);
  return requests.errorOf(failure, { operation: 'GetObject', action: 's3:GetObject', key });
}
