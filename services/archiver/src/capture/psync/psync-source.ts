import type { IncrFile, TailCursor } from '@tidemark/aof';
import { describeAddress, dialNode, type NodeSample } from '@tidemark/client';
import { NodeError, TidemarkError } from '@tidemark/core';
import { openReplicaLink } from '@tidemark/replication';
import type { WireItem, WirePlace, WireReader } from '../../wire/wire-types.ts';
import type { WireSpool } from '../../wire/wire-spool.ts';
import type {
  CaptureSource,
  SourceBase,
  SourceItem,
  SourcePlace,
  SourceSetting,
} from '../capture-source.ts';
import type { LinkStatus } from '../link-status.ts';
import { BesideClaims, otherHistory, type Claim, type ClaimedPlace } from './beside-claims.ts';
import { DIAL_MS, loginOf, type ReceiveLine } from './receive-line.ts';
import { streamDatabase } from './stream-database.ts';

/** Names of snapshots beside the stream: one is made, one may wait, one may be read. */
export const ASIDE_NAMES: readonly string[] = ['beside-0', 'beside-1', 'beside-2', 'beside-3'];
/** Name of the base that a full resync brought. */
const SYNC_NAME = 'sync-';
/** What was taken beside the stream waits so long at most for what is read to get there. */
const BESIDE_WAIT_MS = 600_000;

/** One history, in the words of the AOF tail. */
interface SyncFile extends IncrFile {
  readonly snapshotOffset: number;
}

/** Parts of a source, made by `psyncOpener`. */
export interface PsyncParts {
  readonly setting: SourceSetting;
  readonly spool: WireSpool;
  readonly line: ReceiveLine;
  readonly reader: WireReader;
  /** Where the open timeline is gone on with; null: a new one is begun. */
  readonly resumeAt: WirePlace | null;
  /** Ends line and reader, as the signal of the setting does. */
  readonly stop: AbortController;
  /** Aborted by either. */
  readonly signal: AbortSignal;
}

/** Captures a node as a replica of it: what is received lies in the wire spool and is read there. */
export class PsyncSource implements CaptureSource {
  readonly kind = 'psync';
  readonly pinClass = null;
  readonly canRebase = true;
  readonly #parts: PsyncParts;
  readonly #receiving: Promise<void>;
  #resumeAt: WirePlace | null;
  /** What is read; null until its beginning was read, and when it is of no use. */
  #file: SyncFile | null = null;
  /** What was given up: nothing more of it is used. */
  #skipped: SyncFile | null = null;
  /** All that was received is read, and nobody was told yet. */
  #isIdle = false;
  #pending: Promise<WireItem> | null = null;
  #bases: SourceBase[] = [];
  readonly #claims = new BesideClaims();
  #failure: Error | null = null;
  #wake: (() => void) | null = null;
  #asides = 0;

  constructor(parts: PsyncParts) {
    this.#parts = parts;
    this.#resumeAt = parts.resumeAt;
    parts.line.onStreaming = () => this.#wake?.();
    this.#receiving = parts.line.run().catch((cause: unknown) => {
      this.#failure = cause instanceof Error ? cause : new Error(String(cause));
      this.#wake?.();
    });
  }

  get link(): LinkStatus {
    return this.#parts.line.status;
  }

  async next(): Promise<SourceItem> {
    const { reader, signal } = this.#parts;
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== null) throw this.#failure;
      const base = this.#bases.shift();
      if (base !== undefined) return { kind: 'base', base };
      if (this.#isIdle && this.#file !== null && this.#parts.line.isStreaming) {
        this.#isIdle = false;
        return { kind: 'idle' };
      }
      this.#pending ??= reader.next(signal);
      const read = await this.#orWoken(this.#pending);
      if (read === null) continue;
      this.#pending = null;
      this.#isIdle = read.kind === 'idle';
      const item = await this.#itemOf(read);
      if (item !== null) return item;
    }
  }

  beginSample(): string | null {
    return this.#following()?.ino ?? null;
  }

  /**
   * The offset that a node tells is a place in what was received only while both are of the same
   * history; of a replica, only while its own link is up: what its primary wrote since it does not
   * know.
   */
  place(sample: NodeSample, stamp: unknown): SourcePlace | null {
    const following = this.#following();
    if (following === null || following.ino !== stamp || sample.loading) return null;
    if (sample.masterReplid !== following.replid) return null;
    if (sample.role === 'replica' && !sample.masterLinkUp) return null;
    const { seq, ino, replid, snapshotOffset } = following;
    const position = sample.masterReplOffset;
    if (snapshotOffset !== null && BigInt(position) < snapshotOffset) return null;
    return { seq, ino, position, replid };
  }

  isQuiet(sample: NodeSample): boolean {
    return !sample.loading && this.#parts.line.isStreaming;
  }

  /**
   * A second connection that takes the snapshot alone: the stream goes on meanwhile. Resolves once
   * what is read has passed its place, so that it is certain to stand there.
   */
  async askBase(signal: AbortSignal): Promise<void> {
    const { spool } = this.#parts;
    const name = ASIDE_NAMES[this.#asides++ % ASIDE_NAMES.length] as string;
    const over = new AbortController();
    try {
      const ended = AbortSignal.any([signal, over.signal]);
      const { seq, position, size } = await this.#takeBeside(name, ended);
      const place = { seq, alignedSeq: seq, position };
      this.#bases.push({ name, ...place, size, open: () => spool.readAside(name) });
      this.#wake?.();
    } catch (cause) {
      await spool.dropAside(name).catch(() => undefined); // else at the next start
      throw cause;
    } finally {
      over.abort(); // else a timer runs on
    }
  }

  /** The link is closed before what is read is waited for. */
  async #takeBeside(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly seq: number; readonly position: number; readonly size: number }> {
    const { setting, spool } = this.#parts;
    const following = this.#following();
    if (following === null) {
      throw new NodeError('TM_NODE_UNREACHABLE', 'the replication link is down', {
        hint: 'see the note in: tidemark status',
      });
    }
    const address = await setting.locator.locate(signal);
    let claim: Claim;
    let place: ClaimedPlace;
    let size = 0;
    {
      await using link = await openReplicaLink({
        dial: (ended) => dialNode(address, { timeoutMs: DIAL_MS, signal: ended }),
        node: describeAddress(address),
        ...loginOf(address),
        resume: null,
        snapshotOnly: true,
        clock: setting.clock,
        signal,
      });
      const { replid, offset } = link.start;
      const now = this.#following();
      place = { seq: following.seq, ino: following.ino, replid, position: Number(offset) };
      // Which stands for what is read too: that is never further than what was received.
      if (now?.ino !== following.ino || now.replid !== replid) throw otherHistory(place);
      claim = this.#claims.claim(place);
      try {
        size = (await spool.writeAside(name, link.snapshot())).bytes;
      } catch (cause) {
        claim.release();
        throw cause;
      }
    }
    await this.#untilPassed(claim, signal);
    return { ...place, size };
  }

  async #untilPassed(claim: Claim, signal: AbortSignal): Promise<void> {
    const late = this.#parts.setting.clock.sleep(BESIDE_WAIT_MS, signal).then(() => {
      throw new NodeError('TM_REPLICATION', 'the stream is read too slowly for a snapshot', {
        hint: 'see the spool in: tidemark status',
      });
    });
    try {
      await Promise.race([claim.passed, late]);
    } finally {
      claim.release();
    }
  }

  async releaseBase(name: string): Promise<void> {
    const { spool } = this.#parts;
    if (name.startsWith(SYNC_NAME)) await spool.releaseSnapshot(name.slice(SYNC_NAME.length));
    else await spool.dropAside(name);
  }

  async releaseBefore({ seq, ino, position }: TailCursor, back: number): Promise<void> {
    await this.#parts.spool.releaseBefore({ seq, ino, position: BigInt(position - back) });
  }

  /** Nothing that was received is ever taken back. */
  resumeAt(): void {
    throw new NodeError('TM_INTERNAL', 'a replication stream is not cut');
  }

  giveUp(): Promise<void> {
    const file = this.#file;
    if (file === null) return Promise.resolve();
    this.#skipped = file;
    this.#file = null;
    this.#claims.loseAll();
    this.#parts.line.startAnew(file.ino);
    return Promise.resolve();
  }

  /** The node needs no looking after. */
  look(): void {
    // Nothing was changed on it.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stop, reader, spool } = this.#parts;
    stop.abort(new Error('the capture ended'));
    await this.#receiving;
    await this.#pending?.catch(() => null);
    await reader[Symbol.asyncDispose]();
    await spool[Symbol.asyncDispose]();
  }

  /** The history that comes in now. */
  #following(): { seq: number; ino: string; replid: string; snapshotOffset: bigint | null } | null {
    const { line, spool } = this.#parts;
    return line.isStreaming ? (spool.newest?.history ?? null) : null;
  }

  async #itemOf(item: WireItem): Promise<SourceItem | null> {
    switch (item.kind) {
      case 'history':
        return this.#opened(item);
      case 'renamed': {
        if (this.#file === null) return null;
        this.#file = { ...this.#file, name: item.replid };
        const position = Number(item.position);
        this.#claims.noteRenamed(item.replid, position);
        const file = fileOf(this.#file);
        return {
          kind: 'opened',
          file,
          continuity: 'proven',
          base: null,
          position,
          start: position,
        };
      }
      case 'bytes':
        if (this.#file === null) return this.#skip(item.position);
        this.#claims.noteRead(Number(item.position) + item.data.length);
        return { kind: 'bytes', data: item.data, position: Number(item.position) };
      case 'idle':
        return null; // told as soon as the link is up
    }
  }

  async #opened({
    history,
    position: from,
  }: Extract<WireItem, { kind: 'history' }>): Promise<SourceItem | null> {
    const { seq, ino, replid, snapshotOffset } = history;
    const { line, spool, setting } = this.#parts;
    const file = { name: replid, seq, dev: '0', ino };
    const resumeAt = this.#resumeAt;
    this.#resumeAt = null;
    const position = Number(from);
    this.#file = { ...file, snapshotOffset: Number(snapshotOffset ?? 0n) };
    this.#claims.noteHistory({ seq, ino, replid, position });
    if (resumeAt?.ino === ino && resumeAt.position === from) {
      const base = setting.resume?.needsBase === true ? this.#baseOf(this.#file) : null;
      if (base === null) await spool.releaseSnapshot(ino);
      return { kind: 'opened', file, continuity: 'resumed', base, position, start: position };
    }
    if (snapshotOffset === null || snapshotOffset !== from) {
      await this.giveUp();
      return null;
    }
    const db = await this.#databaseOf(ino);
    if (db === null) return null;
    const opened = {
      kind: 'opened',
      file,
      continuity: 'broken',
      position,
      start: position,
    } as const;
    return { ...opened, ...line.causeOf(ino), base: this.#baseOf(this.#file), db };
  }

  /** @returns Null for a base that does not hold: another one is asked for. */
  async #databaseOf(ino: string): Promise<number | null> {
    const { spool } = this.#parts;
    try {
      return await streamDatabase(spool.snapshotBytes(ino));
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || !cause.code.startsWith('TM_SPOOL')) throw cause;
      this.#parts.setting.logger.warn('base-damaged', { code: cause.code, error: cause.message });
      await spool.releaseSnapshot(ino);
      await this.giveUp();
      return null;
    }
  }

  /** What is of no use must not keep the room that a new beginning needs. */
  async #skip(position: bigint): Promise<null> {
    const { spool } = this.#parts;
    if (this.#skipped === null || !spool.isFull) return null;
    const { seq, ino } = this.#skipped;
    await spool.releaseBefore({ seq, ino, position });
    return null;
  }

  #baseOf({ seq, ino, snapshotOffset: position }: SyncFile): SourceBase {
    const { spool } = this.#parts;
    const open = (): AsyncIterable<Buffer> => spool.snapshotBytes(ino);
    return { name: `${SYNC_NAME}${ino}`, seq, alignedSeq: seq, position, size: 0, open };
  }

  /** @returns Null when something else came first. */
  async #orWoken(pending: Promise<WireItem>): Promise<WireItem | null> {
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(null);
      pending.then(resolve, reject);
    });
  }
}

function fileOf({ name, seq, dev, ino }: IncrFile): IncrFile {
  return { name, seq, dev, ino };
}
