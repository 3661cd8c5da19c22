import type { Duplex } from 'node:stream';
import type { Clock } from '@tidemark/core';
import { brokenLink, foreignPeer } from './errors.ts';
import type { LinkPhase } from './options.ts';

/** Bytes held for the reader at which the socket is no longer read, and at which it is again. */
const HELD_HIGH = 1024 * 1024;
const HELD_LOW = 256 * 1024;
/** The same in chunks: those of a peer that sends byte by byte weigh more than their bytes. */
const CHUNKS_HIGH = 2048;
const CHUNKS_LOW = 512;
/** Unsent bytes of ours at which no further sign of life is written. */
const UNSENT_MAX = 64 * 1024;
const LINE_MAX = 4096;
const TICK_MS = 200;
const LF = 0x0a;

/** How the socket is called in errors, and how a fault of it is told. */
export interface LinkSocketOptions {
  readonly node: string;
  readonly clock: Clock;
  /** A better name for the fault of a connection; null where there is none. */
  readonly explain: (cause: Error) => Error | null;
}

/**
 * The bytes of one connection: read with back-pressure, in the chunks in which they come, or line by
 * line; a watch over silence; signs of life at intervals. One reader.
 */
export class LinkSocket {
  /** Where errors say that they happened. */
  phase: LinkPhase = 'handshake';
  /** Milliseconds without a byte after which the connection is given up. */
  silenceMs: number;
  /** What is written every `signEveryMs`; null for nothing. */
  sign: Buffer | null = null;
  signEveryMs = 1000;
  readonly #duplex: Duplex;
  readonly #options: LinkSocketOptions;
  readonly #closed = new AbortController();
  #held: Buffer[] = [];
  #heldBytes = 0;
  #paused = false;
  #heardAnything = false;
  #lost: Error | null = null;
  #wake: (() => void) | null = null;
  #lastHeardMs: number;

  constructor(duplex: Duplex, silenceMs: number, options: LinkSocketOptions) {
    this.#duplex = duplex;
    this.#options = options;
    this.silenceMs = silenceMs;
    this.#lastHeardMs = options.clock.monotonicMs();
    duplex.on('data', (chunk: Buffer) => this.#take(chunk));
    duplex.on('error', (error) => this.#broke(error));
    duplex.on('end', () => this.#broke());
    duplex.on('close', () => this.#broke());
    if (duplex.destroyed) this.#broke();
    duplex.resume(); // whoever dialled may have paused it
    void this.#watch();
  }

  /** Whether the connection is gone; what came before is still to be read. */
  get isLost(): boolean {
    return this.#lost !== null;
  }

  write(bytes: Uint8Array): void {
    if (this.#lost === null && this.#duplex.writable) this.#duplex.write(bytes);
  }

  /** The next bytes, as they came. @throws NodeError, or the reason of `close`. */
  async read(): Promise<Buffer> {
    for (;;) {
      const chunk = this.#held.shift();
      if (chunk !== undefined) {
        this.#heldBytes -= chunk.length;
        if (this.#paused) this.#resumeIfLow();
        return chunk;
      }
      if (this.#lost !== null) throw this.#lost;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Gives bytes back that were read too far. */
  unread(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#held.unshift(chunk);
    this.#heldBytes += chunk.length;
  }

  /**
   * The next line that is not empty, without its end: a server that makes one wait sends newlines.
   * @throws NodeError `TM_REPLICATION_PEER` when it does not end within 4 KiB.
   */
  async readLine(): Promise<string> {
    let line = '';
    for (;;) {
      const chunk = await this.read();
      const end = chunk.indexOf(LF);
      const bytes = end < 0 ? chunk : chunk.subarray(0, end);
      line += bytes.toString('latin1', 0, LINE_MAX + 1);
      if (line.length > LINE_MAX) {
        throw foreignPeer(this.#place(), 'a line without an end', line);
      }
      if (end < 0) continue;
      this.unread(chunk.subarray(end + 1));
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (line !== '') return line;
    }
  }

  /** Closes at once. Whoever reads gets the reason, after what is held. */
  close(reason: Error): void {
    this.#lose(reason);
    this.#held = [];
    this.#heldBytes = 0;
    this.#duplex.destroy();
  }

  #place(): { readonly node: string; readonly phase: LinkPhase } {
    return { node: this.#options.node, phase: this.phase };
  }

  #take(chunk: Buffer): void {
    if (this.#lost !== null) return;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    this.#heardAnything = true;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    const isHigh = this.#heldBytes >= HELD_HIGH || this.#held.length >= CHUNKS_HIGH;
    if (!this.#paused && isHigh) {
      this.#paused = true;
      this.#duplex.pause();
    }
    this.#wakeReader();
  }

  #resumeIfLow(): void {
    if (this.#heldBytes > HELD_LOW || this.#held.length > CHUNKS_LOW) return;
    this.#paused = false;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    this.#duplex.resume();
  }

  #broke(cause?: Error): void {
    if (this.#lost !== null) return;
    const explained =
      cause === undefined || this.#heardAnything ? null : this.#options.explain(cause);
    const why = cause?.message ?? 'the server closed the connection';
    this.#lose(explained ?? brokenLink(this.#place(), why, cause));
    this.#duplex.destroy();
  }

  #lose(reason: Error): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#closed.abort();
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Ends the silence that lasts too long, and gives signs of life. */
  async #watch(): Promise<void> {
    const { clock } = this.#options;
    let lastTickMs = clock.monotonicMs();
    let lastSignMs = -Infinity;
    while (this.#lost === null) {
      await clock.sleep(TICK_MS, this.#closed.signal).catch(() => undefined);
      const nowMs = clock.monotonicMs();
      // A process that stood still has not listened either.
      this.#lastHeardMs += Math.max(0, nowMs - lastTickMs - 2 * TICK_MS);
      lastTickMs = nowMs;
      if (this.sign !== null && nowMs - lastSignMs >= this.signEveryMs) {
        lastSignMs = nowMs;
        if (this.#duplex.writableLength < UNSENT_MAX) this.write(this.sign);
      }
      if (!this.#paused && nowMs - this.#lastHeardMs > this.silenceMs) {
        this.#broke(new Error(`nothing was heard for ${this.silenceMs} ms`));
      }
    }
  }
}
