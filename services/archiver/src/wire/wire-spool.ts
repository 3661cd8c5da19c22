import { mkdir, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { TidemarkError, UsageError, type Random } from '@tidemark/core';
import type { DataKey } from '@tidemark/crypto';
import { AsideSnapshots } from './aside-snapshots.ts';
import { DiskRoom } from './disk-room.ts';
import { orderedName } from './file-names.ts';
import { RecentFrames } from './recent-frames.ts';
import { recoverSpool } from './recover-spool.ts';
import { spoolFailed, type WireFolder } from './sealed-file.ts';
import { readSnapshot, SnapshotWriter } from './snapshot-file.ts';
import { SpoolReader } from './spool-reader.ts';
import { StreamWriter } from './stream-writer.ts';
import { WIRE_FILE } from './wire-header.ts';
import {
  historyOf,
  keptOf,
  notNewest,
  rangeOf,
  replidOf,
  type HistoryEntry,
  type WireLedger,
} from './wire-ledger.ts';
import type {
  KeptHistory,
  NewestHistory,
  WireHistory,
  WirePlace,
  WireReader,
} from './wire-types.ts';

/** A file of stream bytes is closed when it has this size. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Of a small spool a file is a smaller part, so that room comes back in time. */
const FILES_MIN = 8;

/** What a wire spool is opened with. */
export interface WireSpoolOptions {
  readonly dir: string;
  /** The local spool key. */
  readonly key: DataKey;
  readonly writer: string;
  /** Upper bound of all sealed bytes. */
  readonly bytesMax: number;
  readonly random: Random;
  /** Default 64 MiB, or an eighth of `bytesMax`. */
  readonly fileBytesMax?: number;
  /** What is left free on the disk for others. Default 64 MiB. */
  readonly freeBytesMin?: number;
}

/**
 * All bytes of a replication link, sealed on the archiver's own disk before anything parses them
 * (I6), in the order in which they came.
 *
 * One line of calls appends (`beginSync` to `flush`), one reads, and a third one may release; none
 * waits for another. Nothing is synced: after a kill all is there that was handed to the operating
 * system; after a crash of the host a history may end earlier than it did, and the link asks again
 * from there. All of it may be lost.
 *
 * Where a call throws `TM_SPOOL`, what was taken and is not on the disk is gone. Whoever appends
 * breaks the link off, calls {@link WireSpool.settle}, and goes on at `newest.to`; until then every
 * call that appends throws the same error.
 */
export class WireSpool implements AsyncDisposable {
  readonly #folder: WireFolder;
  readonly #bytesMax: number;
  readonly #ledger: WireLedger;
  readonly #recent = new RecentFrames();
  readonly #stream: StreamWriter;
  readonly #asides: AsideSnapshots;
  #nextIndex: number;
  #sync: { readonly entry: HistoryEntry; readonly writer: SnapshotWriter } | null = null;
  #reader: SpoolReader | null = null;

  private constructor(
    options: WireSpoolOptions,
    parts: { folder: WireFolder; ledger: WireLedger; nextIndex: number },
  ) {
    this.#folder = parts.folder;
    this.#ledger = parts.ledger;
    this.#nextIndex = parts.nextIndex;
    this.#bytesMax = options.bytesMax;
    const part = Math.floor(options.bytesMax / FILES_MIN);
    this.#stream = new StreamWriter({
      folder: parts.folder,
      recent: this.#recent,
      fileBytesMax: options.fileBytesMax ?? Math.min(FILE_BYTES_MAX, part),
      nextName: (ino) => this.#nextName(ino, 'stream'),
      onNews: () => this.#reader?.wake(),
    });
    this.#asides = new AsideSnapshots(parts.folder, parts.ledger, () => this.#checkRoom());
  }

  /**
   * Opens the folder (made with 0700). What an earlier run left is proven and kept up to the first
   * byte that does not hold; it takes about a second for a gigabyte.
   * @throws TidemarkError `TM_SPOOL` when the folder cannot be used. Damage is no error.
   */
  static async open(options: WireSpoolOptions): Promise<WireSpool> {
    const { dir, key, writer, random, freeBytesMin } = options;
    const folder = { dir, key, writer, random, room: new DiskRoom(dir, freeBytesMin) };
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw spoolFailed(cause);
    }
    const spool = new WireSpool(options, { folder, ...(await recoverSpool(folder)) });
    const { open } = spool.#ledger;
    if (open !== null) await spool.#stream.go(open, replidOf(open), rangeOf(open).to);
    return spool;
  }

  /** The newest history, also one whose snapshot is still under way. null when there is none. */
  get newest(): NewestHistory | null {
    const sync = this.#sync;
    if (sync !== null) {
      const offset = sync.entry.snapshotOffset ?? 0n;
      const history = historyOf(sync.entry, sync.entry.replid);
      return { history, from: offset, to: offset, snapshot: 'partial' };
    }
    const { entry, replid, position } = this.#stream;
    if (entry === null) return null;
    return {
      history: historyOf(entry, replid),
      from: rangeOf(entry).from,
      to: position,
      snapshot: entry.snapshot?.state ?? 'none',
    };
  }

  /** What of a history lies on the disk; null: nothing. */
  kept(ino: string): KeptHistory | null {
    const entry = this.#ledger.find(ino);
    return entry === null ? null : keptOf(entry);
  }

  /** Sealed bytes on the disk, all files. */
  get bytes(): number {
    return this.#ledger.bytes + (this.#sync?.writer.size ?? 0);
  }

  /** Whether nothing more is taken until something is released. */
  get isFull(): boolean {
    return this.bytes >= this.#bytesMax;
  }

  /**
   * A full resync began: a new history, which counts once its snapshot is whole. Those before it
   * stay until they are released; one whose snapshot is not whole is dropped.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async beginSync(o: {
    readonly seq: number;
    readonly replid: string;
    readonly offset: bigint;
  }): Promise<WireHistory> {
    await this.settle();
    const { seq, replid, offset } = o;
    const ino = (this.#folder.random.bytes(8).readBigUInt64BE() >> 2n).toString();
    const name = this.#nextName(ino, 'snapshot');
    const facts = { name, seq, ino, replid, start: offset, snapshotOffset: offset };
    const writer = await SnapshotWriter.create(this.#folder, {
      kind: WIRE_FILE.snapshot,
      ...facts,
    });
    const snapshot = { path: writer.path, size: 0, state: 'partial' as const };
    const entry: HistoryEntry = { seq, ino, replid, snapshotOffset: offset, snapshot, files: [] };
    this.#ledger.add(entry);
    this.#sync = { entry, writer };
    return historyOf(entry, replid);
  }

  /**
   * Takes the next bytes of the snapshot. It waits for the disk only as far as needed to hold at
   * most two frames of 256 KiB in memory; the chunk may be used again after.
   * @throws TidemarkError `TM_SPOOL` when the disk or the spool is full; the snapshot is then of no
   *   use.
   */
  async appendSnapshot(chunk: Buffer): Promise<void> {
    const { writer } = this.#requireSync();
    this.#checkRoom();
    await writer.append(chunk);
  }

  /**
   * The snapshot is whole: the history counts, and stream bytes go to it.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async endSnapshot(): Promise<void> {
    const { entry, writer } = this.#requireSync();
    await writer.end();
    entry.snapshot = { path: writer.path, size: writer.size, state: 'whole' };
    this.#sync = null;
    await this.#stream.go(entry, entry.replid, entry.snapshotOffset ?? 0n);
    await this.#stream.openFile();
  }

  /** Lets go of a snapshot that was not finished; the newest history is then the one before it. */
  async dropPartial(): Promise<void> {
    const sync = this.#sync;
    if (sync === null) return;
    this.#sync = null;
    this.#ledger.remove(sync.entry);
    await sync.writer.abandon();
    await this.#remove(sync.writer.path);
  }

  /**
   * Goes on with a history at an offset up to which nothing is here.
   * @throws TidemarkError `TM_SPOOL`; UsageError `TM_USAGE` when bytes after the offset are here.
   */
  async join(o: {
    readonly seq: number;
    readonly ino: string;
    readonly replid: string;
    readonly offset: bigint;
  }): Promise<void> {
    await this.settle();
    const { seq, ino, replid, offset } = o;
    const known = this.#ledger.find(ino);
    if (known !== null && known !== this.#stream.entry) throw notNewest(ino);
    if (known !== null && this.#stream.position > offset) throw notNewest(ino);
    if (known !== null && this.#stream.position === offset) return this.continueAs(replid);
    const entry = known ?? { seq, ino, replid, snapshotOffset: null, snapshot: null, files: [] };
    const before = [...entry.files];
    await this.#stream.go(entry, replid, offset);
    await this.#stream.openFile();
    if (known === null) this.#ledger.add(entry);
    await this.#removeFiles(entry, before.length);
    this.#reader?.wake();
  }

  /**
   * Takes the next bytes of the stream; waits as {@link WireSpool.appendSnapshot}. A small chunk
   * reaches the operating system, and then the reader, at most about 5 ms later.
   * @throws TidemarkError `TM_SPOOL` when the spool is full (nothing of the chunk was taken) or the
   *   disk fails; UsageError `TM_USAGE` without a history.
   */
  async append(chunk: Buffer): Promise<void> {
    if (this.#sync !== null || this.#stream.entry === null) {
      throw new UsageError('TM_USAGE', 'the wire spool has no history to append to');
    }
    this.#checkRoom();
    await this.#stream.append(chunk);
  }

  /** Hands all that was taken to the operating system. @throws TidemarkError `TM_SPOOL`. */
  async flush(): Promise<void> {
    await (this.#sync?.writer ?? this.#stream).flush();
  }

  /**
   * After a link ended: writes what was taken, and after an error of the disk forgets it, so that
   * appending goes on at `newest.to`. An unfinished snapshot goes: it would only take room. Throws
   * nothing.
   */
  async settle(): Promise<void> {
    await this.#stream.settle();
    await this.dropPartial().catch(() => undefined); // its file goes at the next start
  }

  /**
   * The source goes on under another replication id, at the present end.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async continueAs(replid: string): Promise<void> {
    const { entry } = this.#stream;
    if (entry === null) throw new UsageError('TM_USAGE', 'the wire spool has no history to rename');
    if (replid === this.#stream.replid) return;
    await this.#stream.flush();
    await this.#stream.go(entry, replid, this.#stream.position);
    await this.#stream.openFile();
  }

  /**
   * Reads from a place on, and waits for more. One reader: it takes the place of the one before.
   *
   * The first item is a `history`: the one of `from` at its position; else the first later one.
   * Bytes that were read once and lost since are not given again.
   */
  read(from: WirePlace | null): WireReader {
    void this.#reader?.[Symbol.asyncDispose]();
    const { key } = this.#folder;
    this.#reader = new SpoolReader({ ledger: this.#ledger, recent: this.#recent, key, from });
    return this.#reader;
  }

  /**
   * The RDB of a history, each frame proven before it is given out; goes on also when it is
   * released meanwhile.
   * @throws TidemarkError `TM_SPOOL` when it is not here as a whole, `TM_SPOOL_DAMAGED` when it does
   *   not authenticate; what came before is then to be thrown away.
   */
  async *snapshotBytes(ino: string): AsyncGenerator<Buffer, void, undefined> {
    const snapshot = this.#ledger.find(ino)?.snapshot;
    if (snapshot?.state !== 'whole') {
      throw new TidemarkError('TM_SPOOL', 'the wire spool has no whole snapshot of this history', {
        context: { ino },
      });
    }
    yield* readSnapshot(snapshot.path, basename(snapshot.path), this.#folder.key);
  }

  /**
   * Spools a snapshot that is taken beside the stream.
   * @param name - `[a-z0-9][a-z0-9-]{0,62}`; one of the same name is replaced.
   * @returns Plain bytes.
   * @throws TidemarkError `TM_SPOOL`; what `chunks` throws. Nothing is left then.
   */
  writeAside(name: string, chunks: AsyncIterable<Uint8Array>): Promise<{ bytes: number }> {
    return this.#asides.write(name, chunks);
  }

  /** Reads it back. @throws IntegrityError `TM_SPOOL_DAMAGED`, also when there is none. */
  readAside(name: string): AsyncIterable<Buffer> {
    return this.#asides.read(name);
  }

  /** Removes it, if it is there. */
  dropAside(name: string): Promise<void> {
    return this.#asides.drop(name);
  }

  /** Removes the snapshot of a history, if it is there. */
  async releaseSnapshot(ino: string): Promise<void> {
    const entry = this.#ledger.find(ino);
    if (entry?.snapshot?.state !== 'whole') return;
    if (entry.files.length === 0 && entry === this.#stream.entry) await this.#stream.openFile();
    const { path } = entry.snapshot;
    entry.snapshot = null;
    if (entry.files.length === 0) this.#ledger.remove(entry);
    await this.#remove(path);
  }

  /**
   * Removes the files of stream bytes that lie wholly before a place, and the histories before it
   * with their snapshots. The last file of the newest history stays.
   */
  async releaseBefore(place: WirePlace): Promise<void> {
    const { histories } = this.#ledger;
    const at = histories.findIndex(({ ino, seq }) => ino === place.ino || seq > place.seq);
    const older = histories.slice(0, Math.max(0, at)).filter((e) => e !== this.#stream.entry);
    for (const entry of older) await this.#drop(entry);
    const entry = this.#ledger.find(place.ino);
    if (entry === null) return;
    const ends = entry.files.map((_, index) => entry.files[index + 1]?.start);
    const count = ends.findIndex((end) => end === undefined || end > place.position);
    await this.#removeFiles(entry, Math.max(0, count));
  }

  /** Removes all histories, with their snapshots: nothing can be appended then. */
  async dropHistories(): Promise<void> {
    await this.settle();
    await this.#stream.leave();
    for (const entry of [...this.#ledger.histories]) await this.#drop(entry);
  }

  /** Writes what was taken and closes everything; an unfinished snapshot goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
    await this.#stream.close();
    await this.#reader?.[Symbol.asyncDispose]();
  }

  async #drop(entry: HistoryEntry): Promise<void> {
    this.#ledger.remove(entry);
    if (entry.snapshot !== null) await this.#remove(entry.snapshot.path);
    await this.#removeFiles(entry, entry.files.length);
  }

  /** Removes the first files of a history. */
  async #removeFiles(entry: HistoryEntry, count: number): Promise<void> {
    for (const { path } of entry.files.splice(0, count)) await this.#remove(path);
  }

  async #remove(path: string): Promise<void> {
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw spoolFailed(cause);
    });
  }

  #nextName(ino: string, kind: 'stream' | 'snapshot'): string {
    return orderedName(this.#nextIndex++, ino, kind);
  }

  #requireSync(): { readonly entry: HistoryEntry; readonly writer: SnapshotWriter } {
    if (this.#sync !== null) return this.#sync;
    throw new UsageError('TM_USAGE', 'no snapshot is under way');
  }

  #checkRoom(): void {
    if (!this.isFull) return;
    throw new TidemarkError('TM_SPOOL', 'the wire spool has reached its limit', {
      context: { bytes: this.bytes, bytesMax: this.#bytesMax },
      hint: 'the store may be down, or the snapshot is larger: mend the store or raise state.spool_max',
    });
  }
}
