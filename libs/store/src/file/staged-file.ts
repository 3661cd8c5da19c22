import { constants } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource, Random } from '@tidemark/core';
import { storeError } from './fs-errors.ts';
import { stagedName } from './staging.ts';
import { nextOf } from '../next-chunk.ts';

/** What a staged file needs to come into being. */
export interface StageOptions {
  readonly folder: string;
  readonly random: Random;
  /** Key of the object, for messages. */
  readonly key: string;
}

/** An unfinished object: an own file outside of all names. Disposing removes it on every way out. */
export class StagedFile implements AsyncDisposable {
  readonly path: string;
  private readonly handle: FileHandle;
  private readonly key: string;
  private position = 0;
  private open = true;

  private constructor(path: string, handle: FileHandle, key: string) {
    this.path = path;
    this.handle = handle;
    this.key = key;
  }

  static async create(options: StageOptions): Promise<StagedFile> {
    const path = join(options.folder, stagedName(options.random));
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    try {
      return new StagedFile(path, await open(path, flags, 0o600), options.key);
    } catch (cause) {
      throw storeError('stage', options.key, cause);
    }
  }

  /**
   * Appends a whole stream; an error of the stream passes as it is.
   *
   * @throws The signal's reason at once when it is aborted, also while the stream is silent.
   */
  async appendAll(body: ByteSource, signal: AbortSignal | undefined): Promise<void> {
    const iterator = body[Symbol.asyncIterator]();
    let running = true;
    try {
      for (;;) {
        const next = await nextOf(iterator, signal);
        if (next.done === true) break;
        await this.append(next.value);
      }
      running = false;
    } finally {
      if (running) {
        // A stream that is silent may never answer; after an abort it is told, but not waited for.
        const stopped = stopQuietly(iterator);
        if (signal?.aborted !== true) await stopped;
      }
    }
  }

  private async append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.handle.write(
          bytes,
          done,
          bytes.length - done,
          this.position,
        );
        done += bytesWritten;
        this.position += bytesWritten;
      }
    } catch (cause) {
      throw storeError('write', this.key, cause);
    }
  }

  /** Closes the file, its content durable if so wished. A failed sync is never tried again. */
  async finish(durable: boolean): Promise<void> {
    try {
      if (durable) await this.handle.sync();
      this.open = false;
      await this.handle.close();
    } catch (cause) {
      throw storeError('sync', this.key, cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.open) await this.handle.close().catch(() => undefined);
    // A staged file that cannot be removed now is swept later.
    await rm(this.path, { force: true }).catch(() => undefined);
  }
}

async function stopQuietly(iterator: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // The error that ended the put is the one to tell.
  }
}
