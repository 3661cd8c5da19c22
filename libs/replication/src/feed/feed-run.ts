import { createHmac } from 'node:crypto';
import type { ByteSource, ErrorContext } from '@tidemark/core';
import { encodeCommand, encodeError } from '@tidemark/resp';
import { LinkLost, feedError } from './errors.ts';
import { StreamLedger } from './ledger.ts';
import type { FeedOptions, FeedPhase, FeedProgress, FeedResult, FeedTimeouts } from './options.ts';
import { pumpSource } from './pump-source.ts';
import type { ReplicaLink } from './replica-link.ts';
import { waitForLink, type TlsTrouble } from './tls-trouble.ts';

const RESTARTS_MAX = 2;
/** Links that came back without a byte applied in between. */
const IDLE_RESUMES_MAX = 5;
/** A server that refuses a snapshot asks again at once, and would do so for ever. */
const REFUSAL_MS = 2000;
const PROGRESS_MS = 250;
const PING = encodeCommand(['PING']);
const GETACK = encodeCommand(['REPLCONF', 'GETACK', '*']);
const NEWLINE = Buffer.from('\n');
const TARGET_LOG_HINT = 'the log of the target says why it gave the snapshot up';

/** What the server is doing, as far as silence and stalls go. */
type Mode = 'preparing' | 'sending' | 'loading' | 'streaming' | 'acknowledging' | 'idle';

/** Facts about the link that was lost last. */
interface Loss {
  readonly atMs: number;
  readonly phase: FeedPhase;
  readonly byPeer: boolean;
  /** All bytes of the snapshot had been written. */
  readonly snapshotWhole: boolean;
  readonly message: string;
}

/** What a run wants to know of those who were turned away. */
interface GateView {
  /** More context for errors. */
  readonly explain: () => ErrorContext;
  readonly trouble: () => TlsTrouble | null;
}

/**
 * The course of one feed over one or more links: full resync, commands, acknowledgement, idling.
 *
 * One task (`run`) drives one link at a time; a watch beside it sends keepalives and notices a
 * server that takes nothing. Keepalives are PING commands and go out only when the server has
 * acknowledged every byte sent: then the stream stands between two commands, outside MULTI. A bare
 * newline will not do there: redis 7.0 counts it in its offset with the next command.
 */
export class FeedRun {
  readonly #options: FeedOptions;
  readonly #timeouts: Required<FeedTimeouts>;
  readonly #gate: GateView;
  #phase: FeedPhase = 'handshake';
  #mode: Mode = 'preparing';
  #ledger: StreamLedger;
  #link: ReplicaLink | null = null;
  #next: ReplicaLink | null = null;
  #wake: (() => void) | null = null;
  #failure: Error | null = null;
  #loss: Loss | null = null;
  #fullSyncs = 0;
  #loaded = false;
  /** An earlier feed sent the snapshot; where the server stands is known when it asks. */
  #adopting: boolean;
  readonly #resumableByOthers: boolean;
  #snapshotWhole = false;
  #rdbBytes = 0;
  #commandsTotal: bigint | null = null;
  /** Replication offset after the last GETACK. */
  #end = 0n;
  #resumes = 0;
  #idleResumes = 0;
  #resumedAt: bigint | null = null;
  #toldMs = -Infinity;
  #sentMs = 0;

  constructor(options: FeedOptions, timeouts: Required<FeedTimeouts>, gate: GateView) {
    this.#options = options;
    this.#timeouts = timeouts;
    this.#gate = gate;
    this.#ledger = new StreamLedger(options.baseOffset);
    this.#adopting = options.resume === true;
    this.#resumableByOthers = options.resumable === true || options.resume === true;
  }

  /** A server that authenticated asks for the data. */
  arrive(link: ReplicaLink): void {
    if (this.#failure !== null) {
      link.close('the feed has ended');
      return;
    }
    const inUse = [this.#next, this.#link].some((other) => other?.lost === null);
    if (this.#resumable(link)) {
      this.#next?.close('the server opened a new link');
      this.#link?.close('the server opened a new link');
    } else if (this.#phase === 'done' || inUse) {
      link.refuse(encodeError('NOMASTERLINK the feed is in use or over'));
      return;
    }
    this.#next = link;
    this.#wake?.();
  }

  /** Ends the run: `run` rejects with the error, the link is closed. */
  fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#next?.close('the feed ends');
    this.#link?.close('the feed ends');
    this.#wake?.();
  }

  /** `fail` for a feed that is closed by its owner. */
  cancel(): void {
    this.fail(feedError('the feed was closed before its end', this.#context()));
  }

  /**
   * Serves links until it fails.
   * @param onFinished - Called once, when the server has applied the last byte.
   */
  async run(onFinished: (result: FeedResult) => void): Promise<never> {
    for (;;) {
      const link = await this.#nextLink();
      this.#link = link;
      const watch = this.#watch(link);
      try {
        if (this.#resumable(link)) this.#resume(link);
        else await this.#fullSync(link);
        await this.#sendCommands(link);
        await this.#acknowledge(link, onFinished);
        await link.untilLost();
      } catch (error) {
        if (!(error instanceof LinkLost)) throw error;
        this.#noteLoss(error);
      } finally {
        link.close('the feed goes on without this link');
        await watch;
      }
    }
  }

  #context(): ErrorContext {
    return {
      phase: this.#phase,
      rdbBytes: this.#rdbBytes,
      commandBytes: this.#ledger.commandBytes,
      ackedOffset: this.#link?.acked ?? null,
      ...this.#gate.explain(),
    };
  }

  #resumable(link: ReplicaLink): boolean {
    const { replicationId, offset } = link.request;
    if (replicationId !== this.#options.replicationId || offset === null) return false;
    if (this.#adopting) return offset >= this.#options.baseOffset;
    return this.#loaded && this.#ledger.covers(offset);
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  async #nextLink(): Promise<ReplicaLink> {
    this.#throwFailure();
    const ms = this.#loss === null ? this.#timeouts.connectMs : this.#timeouts.reconnectMs;
    if (this.#next === null) {
      const arrived = new AbortController();
      this.#wake = () => arrived.abort();
      const { clock } = this.#options;
      // One that was here before got through TLS: it is away, and what fails meanwhile is another.
      const tlsMs = this.#loss === null ? this.#timeouts.tlsMs : ms;
      const { trouble } = this.#gate;
      const context = (): ErrorContext => this.#context();
      await waitForLink({ clock, ms, arrived: arrived.signal, trouble, tlsMs, context });
      this.#wake = null;
      this.#throwFailure();
    }
    const link = this.#next;
    this.#next = null;
    if (link !== null) return link.lost === null ? link : this.#nextLink();
    if (this.#loss === null) {
      throw feedError('the target did not ask for the data in time', this.#context(), {
        hint: 'can the target reach the feed (--feed-advertise), and with its user and password',
      });
    }
    throw feedError(`the target left (${this.#loss.message})`, this.#context(), {
      hint: this.#loss.phase === 'snapshot' ? TARGET_LOG_HINT : 'is the target running',
    });
  }

  #noteLoss(error: LinkLost): void {
    this.#throwFailure();
    this.#loss = {
      atMs: this.#options.clock.monotonicMs(),
      phase: this.#phase,
      byPeer: error.byPeer,
      snapshotWhole: this.#snapshotWhole,
      message: error.message,
    };
  }

  /** Goes on after the last command that the server has applied. */
  #resume(link: ReplicaLink): void {
    const offset = link.request.offset ?? 0n;
    this.#idleResumes = this.#resumedAt === offset ? this.#idleResumes + 1 : 0;
    if (this.#idleResumes > IDLE_RESUMES_MAX && this.#phase !== 'done') {
      throw feedError('the target drops the link again and again', this.#context());
    }
    this.#resumedAt = offset;
    this.#resumes++;
    if (this.#adopting) this.#ledger = StreamLedger.at(this.#options.baseOffset, offset);
    this.#adopting = false;
    this.#loaded = true;
    this.#ledger.rewind(offset);
    link.assumeAcked(offset);
    const id = link.request.psync2 ? ` ${this.#options.replicationId}` : '';
    void link.put(Buffer.from(`+CONTINUE${id}\r\n`));
    this.#mode = 'streaming';
  }

  /** Says why another full resync is not granted. */
  #checkRestart(): void {
    const loss = this.#loss;
    if (this.#fullSyncs === 0 || loss === null) return;
    const quick = this.#options.clock.monotonicMs() - loss.atMs < REFUSAL_MS;
    if (loss.phase === 'snapshot' && loss.snapshotWhole && loss.byPeer && quick) {
      throw feedError('the target refused the snapshot', this.#context(), {
        hint: TARGET_LOG_HINT,
      });
    }
    if (this.#fullSyncs > RESTARTS_MAX) {
      throw feedError(
        `the target asked for the snapshot ${String(this.#fullSyncs + 1)} times`,
        this.#context(),
        { hint: TARGET_LOG_HINT },
      );
    }
  }

  /** `+FULLRESYNC`, the snapshot between two marks, and the wait until it is loaded. */
  async #fullSync(link: ReplicaLink): Promise<void> {
    const { replicationId, baseOffset, password, snapshot } = this.#options;
    this.#checkRestart();
    if (!link.request.eof) {
      link.refuse(encodeError('ERR this feed needs capa eof'));
      throw feedError('the target did not announce "capa eof"', this.#context());
    }
    this.#fullSyncs++;
    this.#ledger = new StreamLedger(baseOffset);
    this.#adopting = false;
    this.#loaded = false;
    this.#snapshotWhole = false;
    this.#rdbBytes = 0;
    this.#enter('snapshot', 'preparing');
    // 40 characters that do not occur in the snapshot: nobody knows the password beforehand.
    const mark = Buffer.from(
      createHmac('sha256', password)
        .update(`${replicationId} ${String(this.#fullSyncs)}`)
        .digest('hex'),
    ).subarray(0, 40);
    void link.put(Buffer.from(`+FULLRESYNC ${replicationId} ${String(baseOffset)}\r\n`));
    await this.#pump(link, snapshot(), (chunk) => {
      if (this.#mode === 'preparing') {
        this.#mode = 'sending';
        void link.put(Buffer.concat([Buffer.from('$EOF:'), mark, Buffer.from('\r\n')]));
      }
      this.#rdbBytes += chunk.length;
      return link.put(chunk);
    });
    if (this.#rdbBytes === 0) throw feedError('the snapshot is empty', this.#context());
    const full = link.put(mark);
    this.#snapshotWhole = true;
    this.#mode = 'loading';
    if (full !== undefined) await link.wait(full);
    // Not a byte may follow the mark before the first ACK: a server that writes the snapshot to its
    // disk sees the mark only at the end of a read.
    await link.untilAcked(baseOffset);
    this.#loaded = true;
    this.#enter('commands', 'streaming');
  }

  async #sendCommands(link: ReplicaLink): Promise<void> {
    const from = this.#ledger.commandBytes;
    if (from === this.#commandsTotal) return;
    if (this.#phase !== 'done') this.#enter('commands', 'streaming');
    await this.#pump(link, this.#options.commands(from), (chunk) => {
      this.#ledger.addCommands(chunk.length);
      return link.put(chunk);
    });
    const total = this.#ledger.commandBytes;
    if (this.#commandsTotal !== null && this.#commandsTotal !== total) {
      throw feedError('the command stream has another length than before', {
        ...this.#context(),
        before: this.#commandsTotal,
      });
    }
    this.#commandsTotal = total;
  }

  async #acknowledge(link: ReplicaLink, onFinished: (result: FeedResult) => void): Promise<void> {
    if (this.#phase === 'done') {
      this.#mode = 'idle';
      // The end that was promised is reached also when the link broke before it.
      if (this.#ledger.sent < this.#end) this.#insert(link, GETACK);
      return;
    }
    this.#enter('acknowledge', 'acknowledging');
    const offset = this.#ledger.sent;
    link.flush();
    this.#insert(link, GETACK);
    this.#end = this.#ledger.sent;
    await link.untilAcked(offset);
    this.#enter('done', 'idle');
    onFinished({
      rdbBytes: this.#rdbBytes,
      commandBytes: this.#ledger.commandBytes,
      offset,
      sentOffset: this.#end,
      restarts: Math.max(0, this.#fullSyncs - 1),
      resumes: this.#resumes,
    });
  }

  async #pump(
    link: ReplicaLink,
    source: ByteSource,
    take: (chunk: Uint8Array) => Promise<void> | undefined,
  ): Promise<void> {
    await pumpSource(link, source, (chunk) => {
      const full = take(chunk);
      this.#sentMs = this.#options.clock.monotonicMs();
      if (this.#sentMs - this.#toldMs >= PROGRESS_MS) this.#tell();
      return full;
    });
  }

  #insert(link: ReplicaLink, bytes: Buffer): void {
    this.#ledger.insert(bytes.length);
    this.#sentMs = this.#options.clock.monotonicMs();
    void link.put(bytes);
    link.flush();
  }

  #enter(phase: FeedPhase, mode: Mode): void {
    this.#phase = phase;
    this.#mode = mode;
    this.#tell();
  }

  #tell(): void {
    this.#toldMs = this.#options.clock.monotonicMs();
    const progress: FeedProgress = {
      phase: this.#phase,
      rdbBytes: this.#rdbBytes,
      commandBytes: this.#ledger.commandBytes,
      ackedOffset: this.#link?.acked ?? null,
    };
    this.#options.onProgress?.(progress);
  }

  /** Beside the link, as long as it lives: keepalives, and an end to a server that stands still. */
  async #watch(link: ReplicaLink): Promise<void> {
    const { clock } = this.#options;
    const { keepaliveMs, stallMs } = this.#timeouts;
    const tickMs = Math.max(1, Math.min(1000, keepaliveMs / 2, stallMs / 2));
    let taken = -1;
    let movedMs = clock.monotonicMs();
    while (link.lost === null) {
      await clock.sleep(tickMs, link.closed).catch(() => undefined);
      if (link.closed.aborted) return;
      const nowMs = clock.monotonicMs();
      if (taken !== link.takenBytes || !this.#waitsForServer(link)) movedMs = nowMs;
      taken = link.takenBytes;
      const heardMs = this.#mode === 'loading' ? link.lastHeardMs : link.lastAckMs;
      if (nowMs - Math.max(movedMs, heardMs) > stallMs) {
        this.fail(feedError('the target stands still', { ...this.#context(), stallMs }));
        return;
      }
      if (nowMs - this.#sentMs >= keepaliveMs) this.#keepAlive(link);
    }
  }

  #waitsForServer(link: ReplicaLink): boolean {
    return link.backlogBytes > 0 || this.#mode === 'loading' || this.#mode === 'acknowledging';
  }

  #keepAlive(link: ReplicaLink): void {
    if (this.#mode === 'preparing') {
      // Before the snapshot a newline is what a master sends.
      this.#sentMs = this.#options.clock.monotonicMs();
      void link.put(NEWLINE);
      link.flush();
    } else if (!this.#resumableByOthers && ['idle', 'streaming'].includes(this.#mode)) {
      if (link.acked === this.#ledger.sent) this.#insert(link, PING);
    }
  }
}
