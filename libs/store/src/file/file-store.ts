import { link, lstat, mkdir, realpath, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { StoreError, UsageError, type ByteSource, type Random } from '@tidemark/core';
import { assertKeyPrefix, assertObjectKey } from '../object-key.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
} from '../object-store.ts';
import { Folders, syncFolder } from './folders.ts';
import { errnoOf, storeError } from './fs-errors.ts';
import { pathOfKey, STAGING_FOLDER } from './key-path.ts';
import { listObjects } from './list-objects.ts';
import { missing, readObject } from './read-object.ts';
import { isLinkable, NOT_LINKED } from './ready-file.ts';
import { StagedFile } from './staged-file.ts';
import { RootGuard } from './root-guard.ts';
import { prepareStaging } from './staging.ts';

/** How a store in a folder is opened. */
export interface FileStoreOptions {
  /** The folder; made (0700) with its parents when absent. */
  readonly root: string;
  readonly random: Random;
  /** Whether a put waits for the disk. Default true; false is for tests. */
  readonly durable?: boolean;
  /** Nothing is made or probed, and nothing can be put or deleted. Default false. */
  readonly readOnly?: boolean;
}

const PUBLISH_ATTEMPTS_MAX = 5;

/**
 * Opens a store in a folder of a local file system.
 *
 * An object is written to a file without a name of its own, synced, and linked to its final name,
 * which fails when the name is taken: so it appears whole and once. Several processes may use the
 * folder at the same time. Files are 0600, folders 0700.
 * A store that is opened for reading alone is as it was found: by who may write no file.
 * @throws StoreError `TM_STORE_URL` when the folder cannot hold a store: it is no folder, may not be
 *   written, or its file system has no hard links.
 * @see docs/formats/file-store.md
 */
export async function openFileStore(options: FileStoreOptions): Promise<ObjectStore> {
  const { random, durable = true, readOnly = false } = options;
  const given = resolve(options.root);
  try {
    if (readOnly) {
      const root = await realpath(given);
      const staging = join(root, STAGING_FOLDER);
      return new FileStore({
        folders: new Folders(root, false),
        staging,
        random,
        durable,
        readOnly,
      });
    }
    await mkdir(given, { recursive: true, mode: 0o700 });
    const root = await realpath(given);
    const folders = new Folders(root, durable);
    const staging = await folders.ensure([STAGING_FOLDER]);
    await prepareStaging(staging, random);
    if (durable) await syncFolder(staging);
    const store = new FileStore({ folders, staging, random, durable, readOnly });
    await store.lookAtRoot('open', '');
    return store;
  } catch (cause) {
    throw new StoreError('TM_STORE_URL', 'the folder cannot hold a store', {
      context: { root: given, errno: errnoOf(cause) },
      hint: 'it must be a folder that this user may write, on a file system with hard links',
      cause,
    });
  }
}

interface FileStoreParts {
  readonly folders: Folders;
  readonly staging: string;
  readonly random: Random;
  readonly durable: boolean;
  readonly readOnly: boolean;
}

class FileStore implements ObjectStore {
  readonly url: string;
  private readonly folders: Folders;
  private readonly staging: string;
  private readonly random: Random;
  private readonly durable: boolean;
  private readonly readOnly: boolean;
  private readonly guard: RootGuard;

  constructor(parts: FileStoreParts) {
    this.url = pathToFileURL(parts.folders.root).href;
    this.folders = parts.folders;
    this.staging = parts.staging;
    this.random = parts.random;
    this.durable = parts.durable;
    this.readOnly = parts.readOnly;
    this.guard = new RootGuard(parts.folders.root);
  }

  async putIfAbsent(key: string, body: ByteSource, options: PutOptions = {}): Promise<PutOutcome> {
    assertObjectKey(key);
    this.refuseWrite();
    options.signal?.throwIfAborted();
    await this.lookAtRoot('publish', key);
    if ((await this.head(key)) !== null) {
      await this.settle(key);
      return 'exists';
    }
    const adopted = options.file === undefined ? null : await this.adopt(key, options);
    if (adopted !== null) return adopted;
    await using staged = await StagedFile.create({
      folder: this.staging,
      random: this.random,
      key,
    });
    await staged.appendAll(body, options.signal);
    await staged.finish(this.durable);
    return await this.publish(key, staged.path);
  }

  /** Gives the caller's file its second name; null where only a copy will do. */
  private async adopt(key: string, { file, signal }: PutOptions): Promise<PutOutcome | null> {
    if (file === undefined || !(await isLinkable(file, key, this.durable))) return null;
    signal?.throwIfAborted();
    try {
      return await this.publish(key, file);
    } catch (cause) {
      if (cause instanceof StoreError && NOT_LINKED.has(errnoOf(cause.cause))) return null;
      throw cause;
    }
  }

  private refuseWrite(): void {
    if (!this.readOnly) return;
    throw new UsageError('TM_USAGE', 'the store was opened for reading alone');
  }

  private async publish(key: string, stagedPath: string): Promise<PutOutcome> {
    const { folders, file } = pathOfKey(key);
    for (let attempt = 1; ; attempt++) {
      // While the body was written its mount may have gone: not even folders are made then.
      await this.lookAtRoot('publish', key);
      try {
        const folder = await this.folders.ensure(folders);
        const outcome = await linkOnce(stagedPath, join(folder, file));
        if (this.durable) await syncFolder(folder);
        this.guard.noteObject();
        return outcome;
      } catch (cause) {
        // A delete may have removed the emptied fan-out folder in between.
        if (errnoOf(cause) !== 'ENOENT' || attempt >= PUBLISH_ATTEMPTS_MAX) {
          throw storeError('publish', key, cause);
        }
        this.folders.forget();
      }
    }
  }

  /** What is known of folders is not true of another one that was mounted in its place. */
  async lookAtRoot(operation: string, key: string): Promise<void> {
    try {
      if (await this.guard.changed()) this.folders.forget();
    } catch (cause) {
      throw storeError(operation, key, cause);
    }
  }

  /** An object that somebody else made a moment ago counts only once its name is durable. */
  private async settle(key: string): Promise<void> {
    if (!this.durable) return;
    try {
      await syncFolder(await this.folders.ensure(pathOfKey(key).folders));
    } catch (cause) {
      throw storeError('sync', key, cause);
    }
  }

  async *get(key: string, options: GetOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    assertObjectKey(key);
    const path = await this.locate(key);
    if (path === null) throw missing(key);
    yield* readObject(path, key, options);
  }

  async head(key: string): Promise<ObjectInfo | null> {
    assertObjectKey(key);
    const path = await this.locate(key);
    if (path === null) return null;
    try {
      const facts = await lstat(path);
      return facts.isFile() ? { key, size: facts.size } : null;
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return null;
      throw storeError('look at', key, cause);
    }
  }

  private async locate(key: string): Promise<string | null> {
    const { folders, file } = pathOfKey(key);
    try {
      const folder = await this.folders.find(folders);
      return folder === null ? null : join(folder, file);
    } catch (cause) {
      throw storeError('look at', key, cause);
    }
  }

  async *list(
    prefix: string,
    options: ListOptions = {},
  ): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
    assertKeyPrefix(prefix);
    const { after = '', first, signal } = options;
    signal?.throwIfAborted();
    const { root } = this.folders;
    let path: string | null;
    try {
      path = await this.folders.find(prefix.split('/').slice(0, -1));
    } catch (cause) {
      throw storeError('list', prefix, cause);
    }
    if (path !== null) yield* listObjects({ root, path, prefix, after, first, signal });
  }

  async delete(key: string): Promise<void> {
    assertObjectKey(key);
    this.refuseWrite();
    await this.lookAtRoot('delete', key);
    const path = await this.locate(key);
    if (path === null) return;
    const { folders } = pathOfKey(key);
    try {
      await unlink(path);
      if (this.durable) await syncFolder(join(this.folders.root, ...folders));
      await this.folders.prune(folders);
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw storeError('delete', key, cause);
    }
  }
}

async function linkOnce(from: string, to: string): Promise<PutOutcome> {
  try {
    await link(from, to);
    return 'created';
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw cause;
    return 'exists';
  }
}
