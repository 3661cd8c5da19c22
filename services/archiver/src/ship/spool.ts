import {
  mkdir,
  open,
  readFile,
  readdir,
  rm,
  stat,
  statfs,
  type FileHandle,
} from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError, type ByteSource } from '@tidemark/core';
import { replaceFile } from '@tidemark/system';

/** Room left on the spool's disk below which nothing more is spooled. */
const FREE_BYTES_MIN = 64 * 1024 * 1024;
/**
 * How much is written between two looks at that room, and at least between two syncs: a large object
 * goes to the disk while the rest of it is made, not in one burst that others on that disk wait for.
 */
const LOOK_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

/** Names of entries that go into the log in their order; others have a name of their own. */
const IN_ORDER = /^q(\d{12})$/;

/** Sealed bytes in order, alone or in groups that are written at once. */
type SealedSource = readonly Uint8Array[] | AsyncIterable<Uint8Array | readonly Uint8Array[]>;

/**
 * Sealed bytes on the archiver's own disk, from before the first PUT until they are logged (I3).
 *
 * An object is two files: `NAME.sealed` with the final bytes, and `NAME.json` with the note that
 * says how to log it. The second is written last, by rename, so an object without it was never
 * finished and is swept away. An event without an object is `NAME.note` alone. Nothing unsealed is
 * ever written here (I6).
 */
export class Spool {
  readonly #dir: string;
  readonly #bytesMax: number;
  readonly #freeBytesMin: number;
  /** Bytes of each object that lies here. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;
  #next = 0;
  /** What did not fit, until something is taken out: it is not sealed again for nothing. */
  #refused: { readonly name: string; readonly cause: unknown } | null = null;

  private constructor(dir: string, bytesMax: number, freeBytesMin: number) {
    this.#dir = dir;
    this.#bytesMax = bytesMax;
    this.#freeBytesMin = freeBytesMin;
  }

  /** Its folder. */
  get dir(): string {
    return this.#dir;
  }

  /**
   * Opens the folder (made with 0700) and sweeps what was never finished.
   * @param bytesMax - Upper bound of all sealed bytes that wait.
   * @param freeBytesMin - What is left free on the disk for others.
   */
  static async open(
    dir: string,
    bytesMax: number,
    freeBytesMin: number = FREE_BYTES_MIN,
  ): Promise<Spool> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const spool = new Spool(dir, bytesMax, freeBytesMin);
    const names = new Set(await readdir(dir));
    for (const name of names) {
      const stem = name.replace(/\.(sealed|json|note|tmp)$/, '');
      if (stem === name) continue;
      const whole = names.has(`${stem}.json`) && names.has(`${stem}.sealed`);
      const kept = (whole || name.endsWith('.note')) && !name.endsWith('.tmp');
      if (!kept) await rm(join(dir, name), { force: true });
      else if (name.endsWith('.sealed')) spool.#count(stem, (await stat(join(dir, name))).size);
      const place = kept ? IN_ORDER.exec(stem)?.[1] : undefined;
      if (place !== undefined) spool.#next = Math.max(spool.#next, Number(place) + 1);
    }
    return spool;
  }

  /** A name that comes after all others that this gave, also before a restart. */
  nextName(): string {
    return `q${(this.#next++).toString().padStart(12, '0')}`;
  }

  /** Sealed bytes that wait here now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Writes sealed bytes durably, without a note yet. They may come piece by piece or in groups; a
   * piece is kept while the next one is made, so each has memory of its own. An entry in order (`nextName`) that is alone
   * is taken whatever its size.
   * @throws TidemarkError `TM_SPOOL` when the limit is reached or the disk is nearly full.
   */
  async write(name: string, sealed: SealedSource): Promise<number> {
    const path = this.fileOf(name);
    if (this.#refused?.name === name) throw this.#refused.cause;
    let size = 0;
    let lookAt = 0;
    this.#count(name, 0); // a first try may have failed after this
    try {
      // Never over a file of that name: it may be an object of the store by now, under another one.
      await rm(path, { force: true });
      await using file = await open(path, 'wx', 0o600);
      const syncs = new SyncLine(file);
      let writing = Promise.resolve();
      for await (const part of sealed) {
        if (size >= lookAt) {
          await this.#checkDisk();
          if (size > 0) syncs.begin();
          lookAt = size + LOOK_BYTES;
        }
        const pieces = part instanceof Uint8Array ? [part] : part;
        const bytes = bytesIn(pieces);
        this.#checkRoom(name, bytes);
        size += bytes;
        this.#count(name, size);
        // One part is written while the next one is made.
        await writing;
        writing = writeAll(file, pieces, bytes);
        writing.catch(() => undefined);
      }
      await writing;
      await syncs.finish();
    } catch (cause) {
      await rm(path, { force: true }).catch(() => undefined); // else it is swept at the next start
      this.#count(name, 0);
      if (cause instanceof TidemarkError && 'bytesMax' in cause.context) {
        this.#refused = { name, cause };
      }
      throw spoolError(cause);
    }
    return size;
  }

  /**
   * Adds the note of an object: from now on it survives a crash and is shipped again.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async note(name: string, note: string): Promise<void> {
    await this.#writeNote(join(this.#dir, `${name}.json`), note);
  }

  /**
   * Writes the note of an event that names no object. It is small: the limit does not count it.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async noteAlone(name: string, note: string): Promise<void> {
    await this.#writeNote(join(this.#dir, `${name}.note`), note);
  }

  /** The note of an entry; null when it has none. */
  async readNote(name: string): Promise<string | null> {
    for (const kind of ['json', 'note']) {
      try {
        return await readFile(join(this.#dir, `${name}.${kind}`), 'utf8');
      } catch (cause) {
        if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
      }
    }
    return null;
  }

  /** Where the bytes of a finished object lie. They are not changed any more, only their name goes. */
  fileOf(name: string): string {
    return join(this.#dir, `${name}.sealed`);
  }

  /**
   * The bytes of an object, as a stream.
   * @param reuse - A chunk is valid until the next one only.
   */
  async *read(name: string, reuse = false): ByteSource {
    const file = await open(this.fileOf(name), 'r');
    try {
      let buffer = Buffer.allocUnsafeSlow(READ_BYTES);
      for (let first = true; ; first = false) {
        if (!reuse && !first) buffer = Buffer.allocUnsafeSlow(READ_BYTES);
        const { bytesRead } = await file.read(buffer, 0, READ_BYTES);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  /** Names of the finished entries: those in order first, as they go into the log. */
  async names(): Promise<readonly string[]> {
    const files = await readdir(this.#dir);
    const names = files.filter((file) => /\.(json|note)$/.test(file));
    return names.map((file) => file.slice(0, -'.json'.length)).sort();
  }

  /** Takes an entry out, once its event is logged or will never be. */
  async remove(name: string): Promise<void> {
    for (const kind of ['note', 'json', 'sealed']) {
      await rm(join(this.#dir, `${name}.${kind}`), { force: true });
    }
    this.#count(name, 0);
  }

  async #writeNote(path: string, note: string): Promise<void> {
    try {
      await replaceFile(path, note, { durable: 'name' });
    } catch (cause) {
      throw spoolError(cause);
    }
  }

  #count(name: string, size: number): void {
    const before = this.#sizes.get(name) ?? 0;
    if (size < before) this.#refused = null;
    this.#bytes += size - before;
    if (size === 0) this.#sizes.delete(name);
    else this.#sizes.set(name, size);
  }

  #checkRoom(name: string, more: number): void {
    if (this.#bytes + more <= this.#bytesMax) return;
    // A segment is bounded by itself; if it did not fit when it is alone, nothing would go on.
    if (IN_ORDER.test(name) && this.#bytes === (this.#sizes.get(name) ?? 0)) return;
    throw new TidemarkError('TM_SPOOL', 'the spool has reached its limit', {
      context: { bytes: this.#bytes, bytesMax: this.#bytesMax },
      hint: 'the store may be down; raise state.spool_max or mend the store',
    });
  }

  async #checkDisk(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#dir);
    const freeBytes = bavail * bsize;
    if (freeBytes > this.#freeBytesMin) return;
    throw new TidemarkError('TM_SPOOL', 'the disk of the spool is nearly full', {
      context: { freeBytes, freeBytesMin: this.#freeBytesMin },
      hint: 'make room on it, or move state.dir',
    });
  }
}

function bytesIn(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

async function writeAll(
  file: FileHandle,
  pieces: readonly Uint8Array[],
  bytes: number,
): Promise<void> {
  let { bytesWritten: done } = await file.writev(pieces);
  if (done === bytes) return;
  // A disk that fills up takes a part; the next try says so.
  const whole = Buffer.concat(pieces);
  while (done < bytes) done += (await file.write(whole, done)).bytesWritten;
}

/** The syncs of one file, one after the other, beside the writing. */
class SyncLine {
  readonly #file: FileHandle;
  #running: Promise<void> | null = null;
  #failed: { readonly cause: unknown } | null = null;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Syncs what was written so far, unless a sync is under way. */
  begin(): void {
    this.#running ??= this.#file.datasync().then(
      () => {
        this.#running = null;
      },
      (cause: unknown) => {
        this.#failed ??= { cause };
        this.#running = null;
      },
    );
  }

  /** Syncs all. A sync that failed is told of, and never taken for done because a later one holds. */
  async finish(): Promise<void> {
    await this.#running;
    if (this.#failed !== null) throw this.#failed.cause;
    await this.#file.datasync();
  }
}

/** A fault of the disk as one of the spool; the errors of what is spooled stay what they are. */
function spoolError(cause: unknown): unknown {
  const onDisk = cause instanceof Error && 'syscall' in cause;
  return onDisk ? new TidemarkError('TM_SPOOL', 'cannot write the spool', { cause }) : cause;
}
