import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataKey } from '@tidemark/crypto';
import { isAsideName, parseOrderedName, type OrderedName } from './file-names.ts';
import { FrameReader, nullIfDamaged } from './frame-reader.ts';
import { spoolFailed, type WireFolder } from './sealed-file.ts';
import { wholeSnapshot } from './snapshot-file.ts';
import { WIRE_FILE, WIRE_FRAME, type WireHeader } from './wire-header.ts';
import { rangeOf, WireLedger, type HistoryEntry, type StreamFile } from './wire-ledger.ts';

/** What a folder was found to hold. */
export interface Recovered {
  readonly ledger: WireLedger;
  /** Index of the next file. */
  readonly nextIndex: number;
}

/**
 * Reads what an earlier run left, and removes what is of no use: every frame of stream bytes is
 * proven, so what is kept is a prefix of what was written. A history is cut at its first frame that
 * does not hold, and its files after that go; the histories after it stay. A snapshot without its
 * last frame goes, and so does what another writer left: its histories are not those of our log.
 *
 * Cost: all stream bytes are read and opened once.
 * @throws TidemarkError `TM_SPOOL` when the folder cannot be read or changed.
 */
export async function recoverSpool(folder: WireFolder): Promise<Recovered> {
  const recovery = new Recovery(folder);
  try {
    const names = (await readdir(folder.dir)).sort();
    for (const name of names.filter(isAsideName)) await recovery.aside(name);
    const ordered = names.map(parseOrderedName).filter((name) => name !== null);
    for (const name of ordered) {
      await (name.kind === 'stream' ? recovery.stream(name) : recovery.snapshot(name));
    }
    return { ledger: recovery.ledger, nextIndex: (ordered.at(-1)?.index ?? -1) + 1 };
  } catch (cause) {
    throw spoolFailed(cause);
  }
}

class Recovery {
  readonly ledger = new WireLedger();
  readonly #dir: string;
  readonly #key: DataKey;
  readonly #writer: string;
  /** Histories of which no more can follow what is known. */
  readonly #cut = new Set<string>();

  constructor({ dir, key, writer }: WireFolder) {
    this.#dir = dir;
    this.#key = key;
    this.#writer = writer;
  }

  async aside(name: string): Promise<void> {
    const whole = await wholeSnapshot(join(this.#dir, name), name, this.#key);
    const isOurs = whole?.header.writer === this.#writer;
    if (isOurs && whole.header.kind === WIRE_FILE.aside) this.ledger.countAside(whole.size);
    else await this.#remove(name);
  }

  async snapshot({ name, ino }: OrderedName): Promise<void> {
    const path = join(this.#dir, name);
    const whole = await wholeSnapshot(path, name, this.#key);
    const isOurs = whole?.header.writer === this.#writer;
    const fits = isOurs && whole.header.kind === WIRE_FILE.snapshot && whole.header.ino === ino;
    if (!fits || this.ledger.find(ino) !== null) return this.#remove(name);
    const { header, size } = whole;
    this.ledger.add({ ...factsOf(header), snapshot: { path, size, state: 'whole' }, files: [] });
  }

  async stream(name: OrderedName): Promise<void> {
    const opened = this.#cut.has(name.ino) ? null : await this.#open(name);
    if (opened === null) {
      this.#cut.add(name.ino);
      return this.#remove(name.name);
    }
    const { entry, file, fileBytes } = opened;
    if (entry.files.length === 0 && entry.snapshot === null) this.ledger.add(entry);
    entry.files.push(file);
    if (file.size < fileBytes) await truncate(file.path, file.size);
  }

  /** A file that goes on where its history ends, read up to its last whole frame. */
  async #open(name: OrderedName): Promise<{
    readonly entry: HistoryEntry;
    readonly file: StreamFile;
    readonly fileBytes: number;
  } | null> {
    const path = join(this.#dir, name.name);
    const fileBytes = (await stat(path)).size;
    const reader = await FrameReader.open(path, this.#key).catch(nullIfDamaged);
    if (reader === null) return null;
    await using _open = reader;
    const { header } = reader;
    const entry = this.ledger.find(name.ino) ?? { ...factsOf(header), snapshot: null, files: [] };
    if (header.writer !== this.#writer || !belongs(header, name, entry)) return null;
    const { replid, start } = header;
    const { bytes, size } = await provenFrames(reader, fileBytes);
    return { entry, file: { path, replid, start, end: start + BigInt(bytes), size }, fileBytes };
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#dir, name), { force: true });
  }
}

/** Reads frames until one does not hold: plain bytes before it, and its place. */
async function provenFrames(
  reader: FrameReader,
  fileBytes: number,
): Promise<{ readonly bytes: number; readonly size: number }> {
  let [bytes, size] = [0, reader.offset];
  for (;;) {
    const frame = await reader.next(fileBytes).catch(nullIfDamaged);
    if (frame?.kind !== WIRE_FRAME.bytes) return { bytes, size };
    bytes += frame.data.length;
    size = reader.offset;
  }
}

function factsOf(header: WireHeader): Omit<HistoryEntry, 'snapshot' | 'files'> {
  const { seq, ino, snapshotOffset, replid } = header;
  return { seq, ino, snapshotOffset, replid };
}

/** Whether a file is what its name says, and begins where its history ends. */
function belongs(header: WireHeader, name: OrderedName, entry: HistoryEntry): boolean {
  const last = entry.files.at(-1);
  const { from, to } = rangeOf(entry);
  const follows = last === undefined ? header.start >= from : header.start <= to;
  return (
    header.name === name.name &&
    header.kind === WIRE_FILE.stream &&
    header.ino === name.ino &&
    header.seq === entry.seq &&
    header.snapshotOffset === entry.snapshotOffset &&
    header.start >= (last?.start ?? 0n) &&
    follows
  );
}
