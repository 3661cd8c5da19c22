import { basename } from 'node:path';
import type { DataKey } from '@tidemark/crypto';
import { FrameReader } from './frame-reader.ts';
import type { RecentFrames } from './recent-frames.ts';
import { damaged } from './snapshot-file.ts';
import { WIRE_FRAME } from './wire-header.ts';
import {
  historyOf,
  rangeOf,
  replidOf,
  type HistoryEntry,
  type StreamFile,
  type WireLedger,
} from './wire-ledger.ts';
import type { WireItem, WirePlace, WireReader } from './wire-types.ts';

/** What a reader reads from. */
export interface SpoolReaderOptions {
  readonly ledger: WireLedger;
  readonly recent: RecentFrames;
  readonly key: DataKey;
  /** Where to begin; null: with the first byte that is here. */
  readonly from: WirePlace | null;
}

/** The frame that comes next in a file, where its place is known without reading the file. */
interface FramePlace {
  readonly offset: number;
  readonly number: number;
  readonly position: bigint;
}

/**
 * Reads a wire spool in order while it is written: from memory what was written just now, else from
 * the files.
 */
export class SpoolReader implements WireReader {
  readonly #options: SpoolReaderOptions;
  #entry: HistoryEntry | null = null;
  /** The file that is read; null: the history has none yet. */
  #file: StreamFile | null = null;
  #position: bigint;
  /** What the file's reader stands at. */
  #frames: { readonly reader: FrameReader; position: bigint } | null = null;
  #place: FramePlace | null = null;
  /** Counts what {@link SpoolReader.wake} told. */
  #news = 0;
  #awake: (() => void) | null = null;
  #isIdle = false;
  #failure: Error | null = null;

  constructor(options: SpoolReaderOptions) {
    this.#options = options;
    this.#position = options.from?.position ?? 0n;
  }

  /** There is more to read. */
  wake(): void {
    this.#news += 1;
    this.#awake?.();
  }

  async next(signal: AbortSignal): Promise<WireItem> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== null) throw this.#failure;
      const news = this.#news;
      const item = await this.#step();
      if (item !== null) {
        this.#isIdle = false;
        return item;
      }
      if (!this.#isIdle) {
        this.#isIdle = true;
        return { kind: 'idle' };
      }
      if (news === this.#news) await this.#wait(signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new Error('the reader of the wire spool was closed');
    this.wake();
    await this.#closeFrames();
  }

  async #step(): Promise<WireItem | null> {
    if (this.#entry === null) return this.#begin();
    for (;;) {
      const file = this.#file;
      if (file !== null && this.#position < this.#endOf(file)) {
        const data = await this.#read(file);
        if (data === null) continue;
        const position = this.#position;
        this.#position += BigInt(data.length);
        return { kind: 'bytes', data, position };
      }
      const item = await this.#advance(file);
      if (item !== 'again') return item;
    }
  }

  /** The first item. */
  #begin(): WireItem | null {
    const { ledger, from } = this.#options;
    const usable = ledger.histories.filter((entry) => entry.snapshot?.state !== 'partial');
    const entry =
      from === null
        ? usable[0]
        : (usable.find(({ ino }) => ino === from.ino) ?? usable.find(({ seq }) => seq >= from.seq));
    if (entry === undefined) return null;
    const start = rangeOf(entry).from;
    const isSame = from?.ino === entry.ino;
    this.#enter(entry, isSame && from.position > start ? from.position : start);
    const replid = this.#file?.replid ?? entry.replid;
    const history = historyOf(entry, replid);
    return { kind: 'history', history, position: this.#position };
  }

  #enter(entry: HistoryEntry, position: bigint): void {
    this.#entry = entry;
    this.#position = position;
    this.#file = entry.files.findLast(({ start }) => start <= position) ?? entry.files[0] ?? null;
    this.#place = null;
  }

  /** The file is read to its present end: is there another one behind it? */
  async #advance(file: StreamFile | null): Promise<WireItem | 'again' | null> {
    const { ledger } = this.#options;
    const entry = this.#entry;
    if (entry === null) return null;
    const next = entry.files[file === null ? 0 : entry.files.indexOf(file) + 1];
    if (next !== undefined) {
      await this.#closeFrames();
      this.#file = next;
      this.#place = null;
      if (next.start > this.#position) {
        this.#position = next.start;
        return { kind: 'history', history: historyOf(entry, next.replid), position: next.start };
      }
      if (next.replid === (file?.replid ?? entry.replid)) return 'again';
      return { kind: 'renamed', replid: next.replid, position: next.start };
    }
    const { histories } = ledger;
    const later = histories[histories.indexOf(entry) + 1];
    if (later === undefined || later.snapshot?.state === 'partial') return null;
    await this.#closeFrames();
    this.#enter(later, rangeOf(later).from);
    const history = historyOf(later, this.#file?.replid ?? replidOf(later));
    return { kind: 'history', history, position: this.#position };
  }

  /** Where a file ends: the next one may begin within it, when a failed write was not cut off. */
  #endOf(file: StreamFile): bigint {
    const files = this.#entry?.files ?? [];
    const next = files[files.indexOf(file) + 1];
    return next !== undefined && next.start < file.end ? next.start : file.end;
  }

  /** The bytes after the position, as far as one frame has them; null: none yet. */
  async #read(file: StreamFile): Promise<Buffer | null> {
    const recent = this.#options.recent.find(file, this.#position);
    if (recent !== null) {
      const { nextOffset: offset, nextNumber: number } = recent;
      const position = recent.position + BigInt(recent.length);
      this.#place = { offset, number, position };
      return this.#clip(file, this.#options.recent.bytesOf(recent), recent.position);
    }
    try {
      return await this.#readFrame(file);
    } catch (cause) {
      this.#failure = damaged(basename(file.path), 'a frame does not hold', cause);
      throw this.#failure;
    }
  }

  async #readFrame(file: StreamFile): Promise<Buffer | null> {
    const frames = await this.#framesOf(file);
    const start = frames.position;
    const frame = await frames.reader.next(file.size);
    if (frame?.kind !== WIRE_FRAME.bytes) throw damaged(basename(file.path), 'a frame is missing');
    frames.position += BigInt(frame.data.length);
    return frames.position <= this.#position ? null : this.#clip(file, frame.data, start);
  }

  async #framesOf(file: StreamFile): Promise<{ reader: FrameReader; position: bigint }> {
    const frames =
      this.#frames ??
      (this.#frames = {
        reader: await FrameReader.open(file.path, this.#options.key),
        position: file.start,
      });
    const place = this.#place;
    if (place !== null && place.position > frames.position) {
      frames.reader.seek(place.offset, place.number);
      frames.position = place.position;
    }
    return frames;
  }

  #clip(file: StreamFile, data: Buffer, start: bigint): Buffer {
    const from = Number(this.#position - start);
    const to = Number(this.#endOf(file) - start);
    return from === 0 && to >= data.length ? data : data.subarray(from, to);
  }

  async #closeFrames(): Promise<void> {
    await this.#frames?.reader[Symbol.asyncDispose]();
    this.#frames = null;
  }

  async #wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted(); // it may have been while the disk was read
    let abort = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        abort = () => reject(signal.reason as Error);
        signal.addEventListener('abort', abort, { once: true });
        this.#awake = resolve;
      });
    } finally {
      signal.removeEventListener('abort', abort);
      this.#awake = null;
    }
  }
}
