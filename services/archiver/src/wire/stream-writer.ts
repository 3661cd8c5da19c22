import { join } from 'node:path';
import { FrameLine } from './frame-line.ts';
import type { RecentFrames } from './recent-frames.ts';
import { SealedFile, type WireFolder } from './sealed-file.ts';
import { WIRE_FILE, WIRE_FRAME } from './wire-header.ts';
import type { HistoryEntry, StreamFile } from './wire-ledger.ts';

/** What a writer of stream bytes is made of. */
export interface StreamWriterOptions {
  readonly folder: WireFolder;
  readonly recent: RecentFrames;
  /** A file is closed when it has reached this size. */
  readonly fileBytesMax: number;
  readonly nextName: (ino: string) => string;
  /** Called when there is more to read. */
  readonly onNews: () => void;
}

/** Where the next byte goes. */
interface Target {
  readonly entry: HistoryEntry;
  readonly replid: string;
  /** Offset of the last byte on the disk. */
  written: bigint;
  sealed: SealedFile | null;
  file: StreamFile | null;
}

/**
 * Appends stream bytes to the newest history, file after file.
 *
 * A file is made with its first byte, or by {@link StreamWriter.openFile}; one that an earlier run
 * left is never gone on with (see {@link SealedFile}).
 */
export class StreamWriter {
  readonly #options: StreamWriterOptions;
  #target: Target | null = null;
  #line: FrameLine;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
    this.#line = this.#newLine();
  }

  /** The history that is appended to. */
  get entry(): HistoryEntry | null {
    return this.#target?.entry ?? null;
  }

  get replid(): string {
    return this.#target?.replid ?? '';
  }

  /** Offset of the last byte taken. */
  get position(): bigint {
    return (this.#target?.written ?? 0n) + BigInt(this.#line.waitingBytes);
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  append(chunk: Buffer): Promise<void> {
    return this.#line.append(chunk);
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  flush(): Promise<void> {
    return this.#line.flush();
  }

  /** Writes what it can; after a failure lets go of the rest, so that appending goes on. */
  async settle(): Promise<void> {
    try {
      await this.#line.flush();
    } catch {
      this.#line = this.#newLine();
      await this.#closeFile();
    }
  }

  /** From now on bytes go into files of this history, from this offset on. All before is settled. */
  async go(entry: HistoryEntry, replid: string, written: bigint): Promise<void> {
    await this.settle();
    await this.#closeFile();
    if (this.#target?.entry !== entry) this.#options.recent.clear();
    this.#target = { entry, replid, written, sealed: null, file: null };
  }

  /**
   * Makes the file of what comes next now, so that history and replication id are on the disk.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async openFile(): Promise<void> {
    if (this.#target?.sealed === null) await this.#open(this.#target);
    this.#options.onNews();
  }

  #newLine(): FrameLine {
    return new FrameLine((data) => this.#write(data));
  }

  async #write(data: Buffer): Promise<void> {
    const target = this.#target;
    if (target === null) return;
    const { size = 0, frames = 0 } = target.sealed ?? {};
    if (frames > 0 && size >= this.#options.fileBytesMax) await this.#closeFile();
    const { sealed, file } = await this.#open(target);
    await sealed.write(WIRE_FRAME.bytes, data);
    const position = target.written;
    target.written += BigInt(data.length);
    file.end = target.written;
    file.size = sealed.size;
    const next = { nextOffset: sealed.size, nextNumber: sealed.frames };
    this.#options.recent.push({ file, position, length: data.length, ...next }, data);
    this.#options.onNews();
  }

  async #open(target: Target): Promise<{ sealed: SealedFile; file: StreamFile }> {
    if (target.sealed !== null && target.file !== null) {
      return { sealed: target.sealed, file: target.file };
    }
    const { folder, nextName } = this.#options;
    const { entry, replid, written } = target;
    const { seq, ino, snapshotOffset } = entry;
    const name = nextName(ino);
    const place = { name, seq, ino, snapshotOffset, replid, start: written };
    const sealed = await SealedFile.create(folder, { kind: WIRE_FILE.stream, ...place });
    const path = join(folder.dir, name);
    const file = { path, replid, start: written, end: written, size: sealed.size };
    entry.files.push(file);
    target.sealed = sealed;
    target.file = file;
    return { sealed, file };
  }

  /** Nothing is appended to any more. */
  async leave(): Promise<void> {
    await this.settle();
    await this.#closeFile();
    this.#options.recent.clear();
    this.#target = null;
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    const target = this.#target;
    if (target === null) return;
    await target.sealed?.close();
    target.sealed = null;
    target.file = null;
  }
}
