import type { Clock, ByteSource } from '@tidemark/core';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '@tidemark/store';

const HOUR_MS = 3_600_000;
/** So many hours are looked back on. */
const HOURS = 24;
/** Before that a rate would be that of the start. */
const LEAST_MS = 60_000;
/** A larger object goes to S3 in parts of at least this size. */
const PART_BYTES = 16 * 1024 * 1024;

/** How many requests are made, by the classes in which S3 charges for them. */
export interface RequestRate {
  /** PUT, POST and LIST. */
  readonly putPerDay: number;
  /** GET and HEAD. */
  readonly getPerDay: number;
  /** How long it was watched. */
  readonly overSeconds: number;
}

interface Hour {
  readonly hour: number;
  put: number;
  get: number;
}

/** Counts the requests of a capture in the last 24 hours. */
export class RequestMeter {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #sinceMs: number;
  #hours: Hour[] = [];

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** What was asked in the last 24 hours, for a day; null in the first minute. */
  rate(): RequestRate | null {
    const now = this.#clock.monotonicMs();
    const from = Math.max(this.#sinceMs, (this.#hourOf(now) - HOURS + 1) * HOUR_MS);
    const watchedMs = now - from;
    if (watchedMs < LEAST_MS) return null;
    const perDay = (count: number): number => Math.round((count * HOURS * HOUR_MS) / watchedMs);
    const known = this.#hours.filter(({ hour }) => hour > this.#hourOf(now) - HOURS);
    return {
      putPerDay: perDay(known.reduce((sum, { put }) => sum + put, 0)),
      getPerDay: perDay(known.reduce((sum, { get }) => sum + get, 0)),
      overSeconds: Math.floor(watchedMs / 1000),
    };
  }

  notePut(requests: number): void {
    this.#hour().put += requests;
  }

  noteGet(): void {
    this.#hour().get += 1;
  }

  #hour(): Hour {
    const hour = this.#hourOf(this.#clock.monotonicMs());
    let last = this.#hours.at(-1);
    if (last?.hour !== hour) {
      last = { hour, put: 0, get: 0 };
      this.#hours = [...this.#hours.slice(1 - HOURS), last];
    }
    return last;
  }

  #hourOf(nowMs: number): number {
    return Math.floor(nowMs / HOUR_MS);
  }
}

/** A store whose requests are counted. Those that its adapter makes more, or again, are not. */
export class MeteredStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #meter: RequestMeter;

  constructor(inner: ObjectStore, meter: RequestMeter) {
    this.#inner = inner;
    this.#meter = meter;
  }

  get url(): string {
    return this.#inner.url;
  }

  async putIfAbsent(key: string, body: ByteSource, options?: PutOptions): Promise<PutOutcome> {
    let bytes = 0;
    const counted = async function* (): ByteSource {
      for await (const part of body) {
        bytes += part.length;
        yield part;
      }
    };
    try {
      return await this.#inner.putIfAbsent(key, counted(), options);
    } finally {
      // In parts: one that begins, one for each part, one that ends.
      this.#meter.notePut(bytes <= PART_BYTES ? 1 : Math.ceil(bytes / PART_BYTES) + 2);
    }
  }

  get(key: string, options?: GetOptions): ByteSource {
    this.#meter.noteGet();
    return this.#inner.get(key, options);
  }

  head(key: string): Promise<ObjectInfo | null> {
    this.#meter.noteGet();
    return this.#inner.head(key);
  }

  async *list(
    prefix: string,
    options?: ListOptions,
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    this.#meter.notePut(1);
    yield* this.#inner.list(prefix, options);
  }

  delete(key: string): Promise<void> {
    return this.#inner.delete(key);
  }
}
