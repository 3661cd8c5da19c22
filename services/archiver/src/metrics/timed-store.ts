import { TidemarkError, type ByteSource, type Clock } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ListOptions, GetOptions, ObjectInfo, ObjectStore, PutOptions } from '@tidemark/store';
import type { DurationMetric, MetricFamily, MetricRegistry } from './metric-registry.ts';

/** From what a file system does to the longest upload of a snapshot. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

type Outcome = 'ok' | 'error';

/** Counts and times operations, or lets them pass. */
export interface OperationTimer {
  timed<T>(op: string, work: () => Promise<T>): Promise<T>;
  streamed<T>(op: string, source: AsyncIterable<T>): AsyncIterable<T>;
}

/** Lets operations pass until there is somebody who counts them. */
export class LateMeter implements OperationTimer {
  /** Null: nobody counts. */
  meter: OperationMeter | null = null;

  timed<T>(op: string, work: () => Promise<T>): Promise<T> {
    return this.meter === null ? work() : this.meter.timed(op, work);
  }

  streamed<T>(op: string, source: AsyncIterable<T>): AsyncIterable<T> {
    return this.meter === null ? source : this.meter.streamed(op, source);
  }
}

/** What a store and a key service are asked for. */
export const OPERATION_METERS = {
  repo: {
    prefix: 'repo_operation',
    what: 'an operation of the store',
    ops: ['put', 'get', 'head', 'list', 'delete'],
  },
  kms: {
    prefix: 'kms_request',
    what: 'a request to the key service',
    ops: ['generate', 'unwrap', 'rewrap'],
  },
} as const;

/** Counts and times what is asked of something outside, by operation and outcome. */
export class OperationMeter implements OperationTimer {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #counts = new Map<string, { op: string; outcome: Outcome; count: number }>();
  readonly #durations: DurationMetric;

  constructor(
    registry: MetricRegistry,
    clock: Pick<Clock, 'monotonicMs'>,
    {
      prefix,
      what,
      ops,
    }: {
      readonly prefix: 'repo_operation' | 'kms_request';
      readonly what: string;
      /** All there are: a series that begins with 1 would hide its first one from `increase`. */
      readonly ops: readonly string[];
    },
  ) {
    this.#clock = clock;
    for (const op of ops) {
      for (const outcome of ['ok', 'error'] as const) {
        this.#counts.set(`${op} ${outcome}`, { op, outcome, count: 0 });
      }
    }
    this.#durations = registry.durations({
      name: `tidemark_${prefix}_duration_seconds`,
      help: `How long ${what} took.`,
      labels: ['op'],
      buckets: BUCKETS,
    });
    const total: MetricFamily = {
      name: `tidemark_${prefix}s_total`,
      help: `How often ${what} ended, by outcome.`,
      type: 'counter',
      labels: ['op', 'outcome'],
    };
    registry.collect([total], () =>
      [...this.#counts.values()].map(({ op, outcome, count }) => ({
        name: total.name,
        labels: { op, outcome },
        value: count,
      })),
    );
  }

  /** Does one operation. One that was called off is counted as none. */
  async timed<T>(op: string, work: () => Promise<T>): Promise<T> {
    const since = this.#clock.monotonicMs();
    try {
      const result = await work();
      this.#note(op, 'ok', since);
      return result;
    } catch (cause) {
      if (isFault(cause)) this.#note(op, 'error', since);
      throw cause;
    }
  }

  /**
   * Reads a stream: one operation from its first pull to its end, what the reader does in between
   * included.
   */
  async *streamed<T>(op: string, source: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    const since = this.#clock.monotonicMs();
    let outcome: Outcome | null = 'ok';
    try {
      yield* source;
    } catch (cause) {
      outcome = isFault(cause) ? 'error' : null;
      throw cause;
    } finally {
      if (outcome !== null) this.#note(op, outcome, since);
    }
  }

  #note(op: string, outcome: Outcome, sinceMs: number): void {
    this.#durations.observe({ op }, (this.#clock.monotonicMs() - sinceMs) / 1000);
    const name = `${op} ${outcome}`;
    const known = this.#counts.get(name);
    if (known === undefined) this.#counts.set(name, { op, outcome, count: 1 });
    else known.count += 1;
  }
}

/** That an object is not there is an answer; a signal that ended it says nothing of the store. */
function isFault(cause: unknown): boolean {
  return (
    cause instanceof TidemarkError && !['TM_STORE_MISSING', 'TM_CANCELLED'].includes(cause.code)
  );
}

/** The same store, with its operations timed. Tries that its adapter makes again are one operation. */
export function timedStore(store: ObjectStore, meter: OperationTimer): ObjectStore {
  const timed: Pick<ObjectStore, 'putIfAbsent' | 'get' | 'head' | 'list' | 'delete'> = {
    putIfAbsent: (key: string, body: ByteSource, options?: PutOptions) =>
      meter.timed('put', () => store.putIfAbsent(key, body, options)),
    get: (key: string, options?: GetOptions) => meter.streamed('get', store.get(key, options)),
    head: (key: string): Promise<ObjectInfo | null> => meter.timed('head', () => store.head(key)),
    list: (prefix: string, options?: ListOptions) =>
      meter.streamed('list', store.list(prefix, options)),
    delete: (key: string) => meter.timed('delete', () => store.delete(key)),
  };
  return replacing(store, timed);
}

/** The same keys, with what is asked of a key service timed; a local ring is none. */
export function timedKeys<K extends KeyProvider>(keys: K, meter: OperationTimer): K {
  if (keys.name === 'ring') return keys;
  const timed: Pick<KeyProvider, 'generateDataKey' | 'unwrapDataKey' | 'rewrapDataKey'> = {
    generateDataKey: (context) => meter.timed('generate', () => keys.generateDataKey(context)),
    unwrapDataKey: (wrapped, context) =>
      meter.timed('unwrap', () => keys.unwrapDataKey(wrapped, context)),
    rewrapDataKey: (wrapped, context, target) =>
      meter.timed('rewrap', () => keys.rewrapDataKey(wrapped, context, target)),
  };
  return replacing(keys, timed);
}

/** What an adapter offers beyond its port (versions, signed addresses) stays reachable. */
function replacing<T extends object>(inner: T, methods: object): T {
  const own = new Map<PropertyKey, unknown>(Object.entries(methods));
  return new Proxy(inner, {
    get(target, name) {
      if (own.has(name)) return own.get(name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
