import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError, type Random } from '@tidemark/core';
import { FrameCipher, type DataKey } from '@tidemark/crypto';
import type { DiskRoom } from './disk-room.ts';
import { encodeWireHeader, type WireHeader } from './wire-header.ts';

/** Where files of a wire spool lie, and what seals them. */
export interface WireFolder {
  readonly dir: string;
  readonly key: DataKey;
  readonly writer: string;
  readonly random: Random;
  readonly room: DiskRoom;
}

/** Which file is to be made. */
export type NewWireFile = Omit<WireHeader, 'keyId' | 'salt' | 'writer'>;

/**
 * A file of frames that is being written. Nothing is synced (docs/formats/wire-spool.md, "Loss").
 *
 * After a write that failed it is closed for good: to write the number of a frame twice would use
 * a nonce twice.
 */
export class SealedFile {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #room: DiskRoom;
  readonly #cipher: FrameCipher;
  #number = 0;
  #size: number;
  #plainBytes = 0;

  private constructor(path: string, file: FileHandle, room: DiskRoom, cipher: FrameCipher) {
    this.path = path;
    this.#file = file;
    this.#room = room;
    this.#cipher = cipher;
    this.#size = 0;
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  static async create(folder: WireFolder, facts: NewWireFile): Promise<SealedFile> {
    const salt = folder.random.bytes(32);
    const header = encodeWireHeader({
      ...facts,
      salt,
      keyId: folder.key.id,
      writer: folder.writer,
    });
    const cipher = new FrameCipher({ dataKey: folder.key, header, salt });
    const path = join(folder.dir, facts.name);
    let file: FileHandle | null = null;
    try {
      file = await open(path, 'w', 0o600);
      const sealed = new SealedFile(path, file, folder.room, cipher);
      await sealed.#take([header, cipher.commitment]);
      return sealed;
    } catch (cause) {
      cipher.destroy();
      await file?.close().catch(() => undefined);
      await rm(path, { force: true }).catch(() => undefined);
      throw spoolFailed(cause);
    }
  }

  /** Bytes on the disk: header and whole frames. */
  get size(): number {
    return this.#size;
  }

  /** Plain bytes of all frames that carry some. */
  get plainBytes(): number {
    return this.#plainBytes;
  }

  /** Frames written. */
  get frames(): number {
    return this.#number;
  }

  /**
   * Hands one frame to the operating system.
   * @throws TidemarkError `TM_SPOOL` when the disk is full or fails: the file is cut behind its last
   *   whole frame, and closed.
   */
  async write(kind: number, plain: Buffer): Promise<void> {
    const pieces = this.#cipher.seal(this.#number, kind, plain);
    try {
      await this.#take(pieces);
    } catch (cause) {
      await this.#file.truncate(this.#size).catch(() => undefined);
      await this.close();
      throw spoolFailed(cause);
    }
    this.#number += 1;
    this.#plainBytes += plain.length;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#cipher.destroy();
    await this.#file.close().catch(() => undefined);
  }

  /** A write may take less than it was given. */
  async #take(pieces: readonly Buffer[]): Promise<void> {
    const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
    await this.#room.take(total);
    const { bytesWritten } = await this.#file.writev(pieces);
    if (bytesWritten < total) {
      const rest = Buffer.concat(pieces).subarray(bytesWritten);
      for (let at = 0; at < rest.length;) {
        const written = (await this.#file.write(rest, at, rest.length - at)).bytesWritten;
        if (written === 0) throw new Error('the disk takes nothing');
        at += written;
      }
    }
    this.#size += total;
  }
}

/** A fault of the disk as one of the spool. */
export function spoolFailed(cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : null;
  return new TidemarkError('TM_SPOOL', 'cannot write the wire spool', {
    context: { errno: code },
    hint:
      code === 'ENOSPC' ? 'make room on the disk of state.dir' : 'look at the disk of state.dir',
    cause,
  });
}
