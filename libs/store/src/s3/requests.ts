import type { S3Client } from '@aws-sdk/client-s3';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@tidemark/core';
import { S3Failure, storeErrorOf, type FailedCall } from './failure.ts';
import { PAUSE_MS_MAX, PROGRESS_BYTES, type S3Limits } from './limits.ts';

/** One request and what is known of it. */
export interface S3Call {
  /** E.g. `PutObject`. */
  readonly operation: string;
  /** The right it needs, e.g. `s3:PutObject`. */
  readonly action: string;
  /** The object it is about; null for the bucket. */
  readonly key: string | null;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that travel with it; more of them may take longer. Default 0. */
  readonly bytes?: number;
  /** Default: those of the limits. */
  readonly attempts?: number;
  /** Statuses that are answers to the caller; they are thrown as `S3Failure`, never tried again. */
  readonly answers?: readonly number[];
}

/** What a command of the SDK takes. */
export interface HttpOptions {
  readonly abortSignal: AbortSignal;
}

type Work<T> = (client: S3Client, http: HttpOptions) => Promise<T>;

/** An answer that the caller asked for by its status. */
export class S3Answer extends Error {
  readonly failure: S3Failure;

  constructor(failure: S3Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Sends requests: each with a deadline, a bounded number of times, with pauses of random length. */
export class Requests {
  readonly client: S3Client;
  readonly limits: S3Limits;
  readonly random: Random;
  readonly bucket: string;
  /** Whether anything succeeded yet: then bucket and identity are right. */
  served = false;

  constructor(client: S3Client, limits: S3Limits, random: Random, bucket: string) {
    this.client = client;
    this.limits = limits;
    this.random = random;
    this.bucket = bucket;
  }

  /**
   * Sends until it is answered.
   * @throws S3Answer for a status of `call.answers`; StoreError for everything else; the signal's
   *   reason.
   */
  async send<T>(call: S3Call, work: Work<T>): Promise<T> {
    const { attempts = this.limits.attempts, signal } = call;
    const began = performance.now();
    let skewed = false;
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      try {
        const value = await this.#once(call, work);
        this.served = true;
        return value;
      } catch (cause) {
        signal?.throwIfAborted();
        const failure = cause instanceof S3Failure ? cause : new S3Failure(cause);
        if (call.answers?.includes(failure.status) === true) throw new S3Answer(failure);
        const again = failure.passing && !(failure.code === 'RequestTimeTooSkewed' && skewed);
        const late = performance.now() - began > this.limits.retryMs;
        if (!again || late || attempt >= attempts) throw this.errorOf(failure, call);
        skewed ||= failure.code === 'RequestTimeTooSkewed';
      }
      await this.pause(attempt, signal);
    }
  }

  /** A failed request as an error of the store. */
  errorOf(failure: S3Failure, call: Pick<S3Call, 'operation' | 'action' | 'key'>): Error {
    const { operation, action, key } = call;
    const failed: FailedCall = { operation, action, bucket: this.bucket, key };
    return storeErrorOf(failure, failed);
  }

  /** Waits before the next try, for a random share of a time that doubles with each. */
  async pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const ceilingMs = Math.min(PAUSE_MS_MAX, this.limits.pauseMs * 2 ** (attempt - 1));
    const share = this.random.bytes(2).readUInt16BE(0) / 0xffff;
    try {
      await sleep(share * ceilingMs, undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw cause;
    }
  }

  async #once<T>(call: S3Call, work: Work<T>): Promise<T> {
    const { answerMs, stallMs } = this.limits;
    const deadlineMs = answerMs + Math.ceil((call.bytes ?? 0) / PROGRESS_BYTES) * stallMs;
    const control = new AbortController();
    const stop = (): void => control.abort();
    call.signal?.addEventListener('abort', stop, { once: true });
    // A body moves all the time or the socket's own limit ends it; this bounds what dribbles.
    const timer = setTimeout(stop, Math.min(deadlineMs, 2 ** 31 - 1));
    try {
      return await work(this.client, { abortSignal: control.signal });
    } catch (cause) {
      if (control.signal.aborted && call.signal?.aborted !== true) {
        throw new S3Failure(
          Object.assign(new Error('no answer in time'), { name: 'TimeoutError' }),
        );
      }
      throw cause;
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener('abort', stop);
    }
  }
}
