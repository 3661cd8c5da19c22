import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '@tidemark/core';
import { asideName, isAsideName } from './file-names.ts';
import { spoolFailed, type WireFolder } from './sealed-file.ts';
import { readSnapshot, SnapshotWriter } from './snapshot-file.ts';
import { WIRE_FILE } from './wire-header.ts';
import type { WireLedger } from './wire-ledger.ts';

/** A history that is none: a snapshot beside the stream belongs to whoever names it. */
const NO_HISTORY = { seq: 0, ino: '0', replid: '0'.repeat(40), start: 0n, snapshotOffset: null };

/** Snapshots that are taken beside the stream, each under its own name. */
export class AsideSnapshots {
  readonly #folder: WireFolder;
  readonly #ledger: WireLedger;
  readonly #checkRoom: () => void;

  /** @param checkRoom - Throws `TM_SPOOL` when the spool is full. */
  constructor(folder: WireFolder, ledger: WireLedger, checkRoom: () => void) {
    this.#folder = folder;
    this.#ledger = ledger;
    this.#checkRoom = checkRoom;
  }

  /** As `WireSpool.writeAside`. */
  async write(name: string, chunks: AsyncIterable<Uint8Array>): Promise<{ bytes: number }> {
    await this.drop(name);
    const facts = { kind: WIRE_FILE.aside, name: fileOf(name), ...NO_HISTORY };
    const writer = await SnapshotWriter.create(this.#folder, facts);
    let counted = 0;
    const count = (size: number): void => {
      this.#ledger.countAside(size - counted);
      counted = size;
    };
    try {
      for await (const chunk of chunks) {
        this.#checkRoom();
        await writer.append(chunk);
        count(writer.size);
      }
      const bytes = await writer.end();
      count(writer.size);
      return { bytes };
    } catch (cause) {
      await writer.abandon();
      await rm(writer.path, { force: true }).catch(() => undefined); // else at the next start
      count(0);
      throw cause;
    }
  }

  /** As `WireSpool.readAside`. */
  read(name: string): AsyncIterable<Buffer> {
    const file = fileOf(name);
    return readSnapshot(join(this.#folder.dir, file), file, this.#folder.key);
  }

  /** As `WireSpool.dropAside`. */
  async drop(name: string): Promise<void> {
    const path = join(this.#folder.dir, fileOf(name));
    const size = await stat(path).then(
      (facts) => facts.size,
      () => 0,
    );
    if (size === 0) return;
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw spoolFailed(cause);
    });
    this.#ledger.countAside(-size);
  }
}

function fileOf(name: string): string {
  const file = asideName(name);
  if (isAsideName(file)) return file;
  throw new UsageError('TM_USAGE', 'a snapshot beside the stream cannot have this name');
}
