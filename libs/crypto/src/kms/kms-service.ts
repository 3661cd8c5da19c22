import { KMSClient } from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { KeyError, refuseUnverified, type Clock, type Random } from '@tidemark/core';
import { assertKmsConnection, regionOfKey, type KmsConnection } from './kms-connection.ts';
import { kmsErrorOf, outcomeOf, type KmsAsked } from './kms-errors.ts';

/** Bounds of one call, retries counted. */
export interface KmsLimits {
  /** Tries in all. */
  readonly attempts: number;
  /** Longest time of one try, in milliseconds. */
  readonly attemptMs: number;
  /** No try begins after this long, in milliseconds. */
  readonly budgetMs: number;
  /** Longest first pause, in milliseconds; it doubles with each try up to `capMs`. */
  readonly baseMs: number;
  readonly capMs: number;
}

const LIMITS: KmsLimits = {
  attempts: 6,
  attemptMs: 10_000,
  budgetMs: 20_000,
  baseMs: 100,
  capMs: 4_000,
};

/** What calls to a key service work with. */
export interface KmsServiceOptions {
  readonly connection: KmsConnection;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: Partial<KmsLimits>;
}

/** One operation: what it is called, and how it is sent. */
export interface KmsCall<T> extends KmsAsked {
  readonly run: (client: KMSClient, abortSignal: AbortSignal) => Promise<T>;
  /** Is given an answer that came after its time: zero-fills the key in it. */
  readonly discard?: (late: T) => void;
  /** False for what must not happen twice: then only a throttle is tried again. Default true. */
  readonly isRepeatable?: boolean;
}

/**
 * Calls a key service: every try bounded in time, failures that pass repeated with full jitter
 * within a budget, the rest one typed error each. Never another way to a key.
 */
export class KmsService {
  readonly #options: KmsServiceOptions;
  readonly #limits: KmsLimits;
  readonly #clients = new Map<string, KMSClient>();

  /** @throws UsageError `TM_CONFIG` for a region or endpoint that cannot be used. */
  constructor(options: KmsServiceOptions) {
    assertKmsConnection(options.connection);
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  /**
   * @throws KeyError `TM_KEY_DENIED`, `TM_KEY_DISABLED`, `TM_KEY_MISSING`, `TM_KEY_WRONG`, `TM_LIMIT` at
   *   once; `TM_KEY_SERVICE` when tries or budget are used up.
   *   UsageError `TM_TLS_SETTINGS` in a process that would verify nothing.
   */
  async call<T>(call: KmsCall<T>): Promise<T> {
    const { clock, random } = this.#options;
    const { attempts, budgetMs, baseMs, capMs } = this.#limits;
    const sinceMs = clock.monotonicMs();
    const client = this.#clientOf(call.keyId);
    let wasSkewed = false;
    for (let attempt = 1; ; attempt++) {
      let failure: unknown;
      try {
        return await this.#once(client, call);
      } catch (cause) {
        failure = cause;
      }
      const outcome = outcomeOf(failure);
      const again =
        outcome === 'throttled' ||
        (outcome === 'passes' && call.isRepeatable !== false) ||
        (outcome === 'skewed' && !wasSkewed);
      wasSkewed ||= outcome === 'skewed';
      const pauseMs = Math.min(capMs, baseMs * 2 ** (attempt - 1)) * share(random);
      const isLate = clock.monotonicMs() - sinceMs + pauseMs > budgetMs;
      if (!again || attempt >= attempts || isLate) throw errorOf(failure, call);
      await clock.sleep(pauseMs);
    }
  }

  /** Closes the connections. */
  close(): void {
    for (const client of this.#clients.values()) client.destroy();
    this.#clients.clear();
  }

  /** One try. The time-out covers the body of the answer too, which the SDK's own do not. */
  async #once<T>(client: KMSClient, call: KmsCall<T>): Promise<T> {
    const { clock } = this.#options;
    const [done, late] = [new AbortController(), new AbortController()];
    const answer = call.run(client, late.signal);
    try {
      return await new Promise<T>((resolve, reject) => {
        let isOver = false;
        const end = (settle: () => void): void => {
          if (!isOver) settle();
          isOver = true;
        };
        answer.then(
          (value) => {
            if (isOver) call.discard?.(value);
            end(() => resolve(value));
          },
          (cause: unknown) => end(() => reject(asError(cause))),
        );
        clock.sleep(this.#limits.attemptMs, done.signal).then(
          () =>
            end(() => {
              late.abort();
              reject(timedOut(call));
            }),
          () => undefined, // the answer was faster
        );
      });
    } finally {
      done.abort();
    }
  }

  #clientOf(keyId: string | null): KMSClient {
    const { connection } = this.#options;
    const region = regionOfKey(keyId ?? '') ?? connection.region;
    const known = this.#clients.get(region);
    if (known !== undefined) return known;
    // Credentials are fetched by clients of the SDK's own, which nobody can tell to verify.
    refuseUnverified(process.env);
    // Which Node.js runs is said by package.json; a command's standard error is for its own words.
    process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
    const { attemptMs } = this.#limits;
    const client = new KMSClient({
      region,
      ...(connection.endpoint === null ? {} : { endpoint: connection.endpoint }),
      maxAttempts: 1, // retries are ours, on our clock
      requestHandler: new NodeHttpHandler({
        // The environment changes its default.
        httpsAgent: { rejectUnauthorized: true },
        connectionTimeout: Math.min(5_000, attemptMs),
        requestTimeout: attemptMs,
        throwOnRequestTimeout: true,
        socketTimeout: attemptMs,
      }),
    });
    this.#clients.set(region, client);
    return client;
  }
}

/** Our own errors, of answers that say nothing, pass through. */
function errorOf(failure: unknown, call: KmsAsked): Error {
  return failure instanceof KeyError ? failure : kmsErrorOf(failure, call);
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

function timedOut({ action }: KmsAsked): Error {
  const error = new Error(`kms:${action} got no answer in its time`);
  error.name = 'TimeoutError';
  return error;
}

/** From 0 to 1. */
function share(random: Random): number {
  return random.bytes(4).readUInt32BE(0) / 0xffff_ffff;
}
