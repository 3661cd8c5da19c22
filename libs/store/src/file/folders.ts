import { constants } from 'node:fs';
import { lstat, mkdir, open, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '@tidemark/core';
import { errnoOf } from './fs-errors.ts';
import { GROUP_MARK } from './key-path.ts';

const KNOWN_MAX = 4096;
const ENSURE_ATTEMPTS_MAX = 5;

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(
    path,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * The folders below the root of a store.
 *
 * A folder is known once it was seen to be a folder (not a symbolic link), and, in a durable store,
 * once its name was made durable: also a folder that somebody else made a moment ago counts only
 * after that. At most 4,096 known folders are kept in mind.
 */
export class Folders {
  readonly root: string;
  private readonly durable: boolean;
  private readonly present = new Set<string>();
  private readonly lasting = new Set<string>();

  constructor(root: string, durable: boolean) {
    this.root = root;
    this.durable = durable;
  }

  /** Makes what is missing (0700) and returns the path. System errors pass as they are. */
  async ensure(segments: readonly string[]): Promise<string> {
    const target = join(this.root, ...segments);
    if (this.lasting.has(target)) return target;
    for (let attempt = 1; ; attempt++) {
      try {
        let path = this.root;
        for (const segment of segments) path = await this.ensureOne(path, segment);
        return path;
      } catch (error) {
        // A folder above may have been emptied and removed by a delete in between.
        if (errnoOf(error) !== 'ENOENT' || attempt >= ENSURE_ATTEMPTS_MAX) throw error;
        this.forget();
      }
    }
  }

  private async ensureOne(parent: string, segment: string): Promise<string> {
    const path = join(parent, segment);
    if (this.lasting.has(path)) return path;
    try {
      await mkdir(path, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      await assertFolder(path);
    }
    if (this.durable) await syncFolder(parent);
    remember(this.lasting, path);
    remember(this.present, path);
    return path;
  }

  /** The path of a folder that exists, or null. A symbolic link on the way is refused. */
  async find(segments: readonly string[]): Promise<string | null> {
    let path = this.root;
    const target = join(path, ...segments);
    if (this.present.has(target)) return target;
    for (const segment of segments) {
      path = join(path, segment);
      if (this.present.has(path)) continue;
      try {
        await assertFolder(path);
      } catch (error) {
        if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
        throw error;
      }
      remember(this.present, path);
    }
    return path;
  }

  /** Forgets what is known; done when a known folder is found to be gone. */
  forget(): void {
    this.present.clear();
    this.lasting.clear();
  }

  /** Removes the fan-out folders at the end of the path as far as they are empty. */
  async prune(segments: readonly string[]): Promise<void> {
    for (let depth = segments.length; depth > 0; depth--) {
      if (segments[depth - 1]?.startsWith(GROUP_MARK) !== true) return;
      const path = join(this.root, ...segments.slice(0, depth));
      this.lasting.delete(path);
      this.present.delete(path);
      try {
        await rmdir(path);
      } catch {
        return; // not empty, or gone: either is fine
      }
    }
  }
}

function remember(known: Set<string>, path: string): void {
  if (known.size >= KNOWN_MAX) known.clear();
  known.add(path);
}

async function assertFolder(path: string): Promise<void> {
  if ((await lstat(path)).isDirectory()) return;
  throw new StoreError('TM_STORE_IO', 'something in the store is not a folder where one must be', {
    context: { path },
    hint: 'symbolic links and foreign files have no place in the folder of the store',
  });
}
