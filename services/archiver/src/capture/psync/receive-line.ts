import {
  describeAddress,
  dialNode,
  pauseBeforeRetry,
  type NodeAddress,
  type NodeLocator,
} from '@tidemark/client';
import { NodeError, TidemarkError, type Clock, type Random } from '@tidemark/core';
import { openReplicaLink, type ReplicaLink } from '@tidemark/replication';
import type { Logger } from '../../logger.ts';
import type { WireSpool } from '../../wire/wire-spool.ts';
import type { LinkStatus } from '../link-status.ts';
import { LinkPace } from './link-pace.ts';
import {
  causeOfResync,
  goesOnBehind,
  lagsBehind,
  readHistory,
  type HistoryPlace,
  type NodeHistory,
  type ResyncCause,
} from './node-history.ts';
import { withSync, type ResyncNote, type ResyncNoteFile } from './resync-note.ts';

/** For a connection, TLS and all. */
export const DIAL_MS = 10_000;
/** A link that was up for so long has got over what ailed it before. */
const STEADY_MS = 5_000;
/** A full spool is gone on with when this share of it is free again. */
const ROOM_SHARE = 0.1;
const ROOM_POLL_MS = 50;

/** What a receive line works with. */
export interface ReceiveLineOptions {
  readonly spool: WireSpool;
  readonly bytesMax: number;
  readonly locator: NodeLocator;
  readonly note: ResyncNoteFile;
  /** What the note says now. */
  readonly noted: ResyncNote;
  /** Number of the next full resync. */
  readonly nextSeq: number;
  /** Whether what the spool holds is gone on with. */
  readonly goesOn: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * The receiving end of a capture by replication: follows the node wherever it goes, and puts every
 * byte into the wire spool. It waits for the disk and for nothing else; who reads comes after.
 */
export class ReceiveLine {
  readonly #options: ReceiveLineOptions;
  readonly #pace: LinkPace;
  #state: LinkStatus['state'] = 'connecting';
  #error: LinkStatus['error'] = null;
  #fullResyncs = 0;
  #partialResyncs = 0;
  #nextSeq: number;
  #note: ResyncNote;
  #wasFull = false;
  /** The next link asks for a full resync. */
  #fresh: boolean;
  #attempt = new AbortController();
  /** Called when all that the node writes comes in again. */
  onStreaming: () => void = () => undefined;

  constructor(options: ReceiveLineOptions) {
    this.#options = options;
    this.#pace = new LinkPace(options.random, pastSyncs(options));
    this.#nextSeq = options.nextSeq;
    this.#note = options.noted;
    this.#fresh = !options.goesOn;
  }

  /** Whether all that the node writes comes in now. */
  get isStreaming(): boolean {
    return this.#state === 'streaming';
  }

  get status(): LinkStatus {
    const { spool, locator } = this.#options;
    const newest = this.#fresh ? null : spool.newest;
    return {
      state: this.#state,
      node: locator.latest === null ? locator.name : describeAddress(locator.latest),
      replid: newest?.history.replid ?? null,
      offset: newest?.to.toString() ?? null,
      fullResyncs: this.#fullResyncs,
      partialResyncs: this.#partialResyncs,
      spoolBytes: spool.bytes,
      error: this.#error,
    };
  }

  /** What the full resync that began a history means for what came before it. */
  causeOf(ino: string): ResyncCause {
    const { resync } = this.#note;
    if (resync?.ino === ino) return resync;
    return { reason: 'capture-down', detail: 'the log could not be followed on' };
  }

  /**
   * What came of a history is of no use: the link is broken off, and a full resync asked for; unless
   * a later one came already, or is under way.
   */
  startAnew(ino: string): void {
    const { newest } = this.#options.spool;
    const isSyncing = newest?.snapshot === 'partial';
    if (newest !== null && newest.history.ino !== ino && !isSyncing) return;
    this.#fresh = true; // also for when the one under way breaks off
    if (isSyncing) return;
    this.#attempt.abort(new Error('a full resync is asked for'));
  }

  /** Receives until the signal is aborted. A node that cannot be followed is tried again. */
  async run(): Promise<void> {
    const { signal, locator, clock, logger } = this.#options;
    const isOver = (): boolean => signal.aborted;
    const stop = locator.onMoved((address) => {
      logger.info('node-moved', { node: describeAddress(address) });
      this.#attempt.abort(new Error('the node has moved'));
    });
    try {
      while (!isOver()) {
        this.#attempt = new AbortController();
        const attempt = AbortSignal.any([signal, this.#attempt.signal]);
        try {
          await this.#waitForRoom(attempt);
          await this.#follow(attempt);
        } catch (cause) {
          if (isOver()) return;
          this.#state = 'waiting';
          await this.#forgetBroken();
          if (attempt.aborted) continue;
          const fault = faultOf(cause);
          this.#tell(fault);
          const wait = { clock, signal: attempt, locator };
          await pauseBeforeRetry(this.#pace.afterFault(fault), wait);
        }
      }
    } finally {
      stop();
    }
  }

  /** One link, from dialing until it breaks, which it always does. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { locator, clock } = this.#options;
    this.#state = 'connecting';
    await this.#forgetBroken();
    const address = await locator.locate(signal);
    const node = await readHistory(address, signal);
    const place = this.#place();
    if (place !== null && lagsBehind(place, node)) {
      throw new NodeError('TM_REPLICATION', 'the replica has yet to receive what was captured', {
        context: { node: describeAddress(address), behind: place.offset - node.offset },
      });
    }
    if (place === null || !goesOnBehind(place, node)) await this.#waitForSync(signal);
    await using link = await openReplicaLink({
      dial: (ended) => dialNode(address, { timeoutMs: DIAL_MS, signal: ended }),
      node: describeAddress(address),
      ...loginOf(address),
      resume: place,
      clock,
      signal,
    });
    if (link.start.kind === 'full') await this.#sync(link, place, node);
    else await this.#continue(link.start.replid, node);
    await this.#stream(link);
  }

  #place(): HistoryPlace | null {
    const { newest } = this.#options.spool;
    if (this.#fresh || newest === null) return null;
    return { replid: newest.history.replid, offset: newest.to };
  }

  async #sync(link: ReplicaLink, asked: HistoryPlace | null, node: NodeHistory): Promise<void> {
    const { spool, note, logger, clock } = this.#options;
    const { replid, offset } = link.start;
    this.#state = 'syncing';
    this.#fullResyncs += 1;
    this.#pace.noteSync(clock.monotonicMs());
    const past = { runId: this.#note.runId, wasFull: this.#wasFull };
    const cause = causeOfResync(asked, { replid, offset }, node, past);
    const history = await spool.beginSync({ seq: this.#nextSeq, replid, offset });
    logger.info('full-resync', { replid, offset: offset.toString(), reason: cause.reason });
    const resync = { ...cause, ino: history.ino };
    this.#note = { runId: node.runId, resync, syncsMs: withSync(this.#note, clock.nowMs()) };
    await note.write(this.#note);
    for await (const chunk of link.snapshot()) await spool.appendSnapshot(chunk);
    await spool.endSnapshot();
    this.#nextSeq += 1;
    this.#fresh = false;
    this.#wasFull = false;
  }

  async #continue(replid: string, node: NodeHistory): Promise<void> {
    const { spool, note, logger } = this.#options;
    const { newest } = spool;
    this.#partialResyncs += 1;
    if (newest !== null && newest.history.replid !== replid) await spool.continueAs(replid);
    logger.info('partial-resync', { replid, offset: newest?.to.toString() ?? null });
    if (this.#note.runId !== node.runId) {
      this.#note = { ...this.#note, runId: node.runId };
      await note.write(this.#note);
    }
    this.#wasFull = false;
  }

  async #stream(link: ReplicaLink): Promise<void> {
    const { spool, clock } = this.#options;
    const sinceMs = clock.monotonicMs();
    this.#state = 'streaming';
    this.#error = null;
    this.onStreaming();
    for await (const chunk of link.stream()) {
      // Broken off, the node keeps the rest in its backlog.
      if (spool.isFull) {
        this.#wasFull = true;
        return;
      }
      await spool.append(chunk);
      if (clock.monotonicMs() - sinceMs >= STEADY_MS) this.#pace.noteSteady();
    }
  }

  /** A snapshot that broke off is of no use, and must not fill the spool. */
  async #forgetBroken(): Promise<void> {
    const { spool } = this.#options;
    await spool.settle();
    // What cannot be removed now is removed before the next one begins, or at the next start.
    await spool.dropPartial().catch(() => undefined);
  }

  /** While the spool is full no link is open: the output buffer of the node is not ours to fill. */
  async #waitForRoom(signal: AbortSignal): Promise<void> {
    const { spool, bytesMax, clock, logger } = this.#options;
    if (!spool.isFull) return;
    this.#wasFull = true;
    this.#state = 'full';
    logger.warn('wire-spool-full', { bytes: spool.bytes });
    while (spool.bytes > bytesMax * (1 - ROOM_SHARE)) await clock.sleep(ROOM_POLL_MS, signal);
  }

  /** A fork each time: after a few the pauses grow (I7). */
  async #waitForSync(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const pauseMs = this.#pace.untilSync(clock.monotonicMs());
    if (pauseMs === 0) return;
    this.#state = 'waiting';
    const message = `full resyncs come too often: the next one in ${Math.ceil(pauseMs / 1000).toString()} s`;
    this.#error = { code: 'TM_REPLICATION', message };
    logger.warn('link', { code: 'TM_REPLICATION', error: message });
    await clock.sleep(pauseMs, signal);
  }

  #tell({ code, message }: TidemarkError): void {
    if (this.#error?.code !== code) this.#options.logger.warn('link', { code, error: message });
    this.#error = { code, message };
  }
}

/** Times of the host's clock as those of this process; what a clock that was put back calls future is left out. */
function pastSyncs({
  noted,
  clock,
}: Pick<ReceiveLineOptions, 'noted' | 'clock'>): readonly number[] {
  const ages = noted.syncsMs.map((at) => clock.nowMs() - at).filter((age) => age >= 0);
  return ages.map((age) => clock.monotonicMs() - age);
}

/** User and password of a node, as a link takes them. */
export function loginOf({ username, password }: NodeAddress): {
  readonly username?: string;
  readonly password?: string;
} {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

function faultOf(cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new NodeError('TM_REPLICATION', message, { cause });
}
