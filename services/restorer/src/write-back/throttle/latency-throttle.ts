import type { Clock } from '@tidemark/core';
import type { RateLimit } from './rate-limit.ts';
import type { Throttle } from './throttle.ts';
import { TokenBucket } from './token-bucket.ts';

/** Commands that may be on their way at once. */
const WINDOW_FIRST = 16;
const WINDOW_MAX = 128;
const WINDOW_STEP = 4;
/** Commands around those of a batch: SELECT, MULTI, EXEC. */
const AROUND = 2;
/** Pause for each batch when even single commands are too many: the server is slow by itself. */
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 200;
/** Bytes of a batch are on the way, and with us, for so long; the server is free meanwhile. */
const WAY_BYTES_PER_MS = 50_000;

/** How a server is to be spared. */
export interface LatencyThrottleOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  /** What clients of the server may have to wait at most, in milliseconds. */
  readonly latencyMaxMs: number;
  readonly rate: RateLimit | null;
  readonly signal: AbortSignal;
}

/**
 * A throttle that also says how large a batch may be now: where a rate is kept no more than comes in a
 * tenth of a second, so that what is called off in between ends soon.
 */
export interface BatchThrottle extends Throttle {
  /** Commands that may be sent before their replies are awaited. */
  readonly window: number;
  /** Bytes of one batch; a larger value goes alone. */
  readonly batchBytes: number;
}

/**
 * Keeps the latency of a server under a bound.
 *
 * A batch holds all other clients up while it is worked off, so its own latency is that of the others
 * at worst. While batches stay under the bound the window of commands in flight grows by a few; a batch
 * or a probe above it halves the window, and at the smallest one pauses come between. The shortest
 * time seen is taken as that of the way to the server: it is not of our making and does not count.
 */
export class LatencyThrottle implements BatchThrottle {
  readonly #options: LatencyThrottleOptions;
  readonly #commands: TokenBucket | null;
  readonly #bytes: TokenBucket | null;
  #window = WINDOW_FIRST;
  #pauseMs = 0;
  #wayMs = Infinity;
  /** Bytes that were let go since the last batch was told of. */
  #bytesSent = 0;

  constructor(options: LatencyThrottleOptions) {
    this.#options = options;
    const { commandsPerSecond = null, bytesPerSecond = null } = options.rate ?? {};
    const now = options.clock.monotonicMs();
    this.#commands = commandsPerSecond === null ? null : new TokenBucket(commandsPerSecond, now);
    this.#bytes = bytesPerSecond === null ? null : new TokenBucket(bytesPerSecond, now);
  }

  get window(): number {
    return Math.min(this.#window, this.#commands?.capacity ?? this.#window);
  }

  get batchBytes(): number {
    return this.#bytes?.capacity ?? Infinity;
  }

  async take(commands: number, bytes: number): Promise<void> {
    const { clock, signal } = this.#options;
    this.#bytesSent += bytes;
    const now = clock.monotonicMs();
    // A caller with batches larger than the window waits as long as the batches too many would take.
    const batches = Math.max(0, Math.ceil((commands - AROUND) / this.#window) - 1);
    const wait = Math.max(
      this.#pauseMs + batches * this.#options.latencyMaxMs,
      this.#commands?.take(commands, now) ?? 0,
      this.#bytes?.take(bytes, now) ?? 0,
    );
    if (wait > 0) await clock.sleep(wait, signal);
    else signal.throwIfAborted();
  }

  note(latencyMs: number): void {
    const good = this.#judge(Math.max(0, latencyMs - this.#bytesSent / WAY_BYTES_PER_MS));
    this.#bytesSent = 0;
    if (good && this.#pauseMs === 0)
      this.#window = Math.min(WINDOW_MAX, this.#window + WINDOW_STEP);
  }

  /** Tells how long a lone PING took. That it was quick says nothing about larger batches. */
  probed(latencyMs: number): void {
    this.#wayMs = Math.min(this.#wayMs, latencyMs);
    this.#judge(latencyMs);
  }

  /** @returns Whether the latency is under the bound. */
  #judge(latencyMs: number): boolean {
    const way = Number.isFinite(this.#wayMs) ? this.#wayMs : 0;
    if (latencyMs - way <= this.#options.latencyMaxMs) {
      this.#pauseMs = this.#pauseMs > 1 ? this.#pauseMs / 2 : 0;
      return true;
    }
    if (this.#window > 1) this.#window = Math.floor(this.#window / 2);
    else this.#pauseMs = Math.min(PAUSE_MAX_MS, Math.max(PAUSE_FIRST_MS, this.#pauseMs * 2));
    return false;
  }
}
