import { link, lstat, mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KeyError, type Clock, type Random } from '@tidemark/core';
import { keyIdOf } from './key-derivation.ts';
import {
  assertPrivateDir,
  createPrivateFile,
  isSystemError,
  readPrivateFile,
  refused,
  removeIfThere,
  syncDir,
} from './private-files.ts';
import {
  RING_BYTES_MAX,
  encodeRingFile,
  parseRingFile,
  ringIsAuthentic,
  type RingFile,
} from './ring-file.ts';
import { RingLock } from './ring-lock.ts';
import { newRing } from './ring-state.ts';
import { createSecretFile, readSecretFile } from './secret-file.ts';

/** Where a ring lies and what it is used with. */
export interface KeyRingOptions {
  /** The ring's folder, mode 0700. Keep it off the device of the object store. */
  readonly dir: string;
  readonly random: Random;
  readonly clock: Clock;
  /**
   * File of 32 bytes that is the root key, for example a credential of systemd. Default:
   * `root.key` in the folder.
   */
  readonly rootKeyFile?: string;
  /** Lowest revision that is taken, from what the catalog has seen; guards against rollback. */
  readonly revisionMin?: number;
}

/** Ring and root key as read from disk. The caller zero-fills `root`. */
export interface LoadedRing {
  readonly ring: RingFile;
  readonly root: Buffer;
}

const pathsOf = (dir: string): Record<'ring' | 'previous' | 'staged' | 'root', string> => ({
  ring: join(dir, 'ring.json'),
  previous: join(dir, 'ring.json.1'),
  staged: join(dir, 'ring.json.tmp'),
  root: join(dir, 'root.key'),
});

/**
 * Makes folder, root key and ring.json. Never touches a ring or root key that is there.
 * @throws KeyError `TM_KEY_RING`.
 */
export async function createRingDir(options: KeyRingOptions): Promise<void> {
  const { dir, random, clock } = options;
  const paths = pathsOf(dir);
  await makeDir(dir);
  for (const path of [paths.ring, paths.previous]) {
    if (await isThere(path)) throw refused(path, 'exists; a ring is never overwritten');
  }
  if (options.rootKeyFile === undefined && !(await createSecretFile(paths.root, random))) {
    throw refused(
      paths.root,
      'exists without a ring.json',
      'put ring.json back from a copy, or take another folder',
    );
  }
  const root = await readRoot(options);
  try {
    await writeRing(dir, newRing(root, random, clock.nowMs()), root);
  } finally {
    root.fill(0);
  }
}

/**
 * Reads and authenticates ring.json.
 * @throws KeyError `TM_KEY_RING` when anything is missing, damaged, rolled back or open to others.
 */
export async function loadRing(options: KeyRingOptions): Promise<LoadedRing> {
  const paths = pathsOf(options.dir);
  await assertPrivateDir(options.dir);
  const bytes = await readPrivateFile(paths.ring, { bytesMax: RING_BYTES_MAX });
  const restore = `put back a copy, for example ${paths.previous}`;
  const parsed = parseRingFile(bytes);
  if (parsed === null) throw refused(paths.ring, 'is damaged', restore);
  const { ring, mac } = parsed;
  const root = await readRoot(options);
  try {
    if (keyIdOf(root) !== ring.rootId) {
      throw refused(paths.ring, 'was made with another root key', 'name the right root key file');
    }
    if (!ringIsAuthentic(ring, mac, root)) throw refused(paths.ring, 'was changed', restore);
    const revisionMin = options.revisionMin ?? 0;
    if (ring.revision < revisionMin) {
      throw new KeyError(
        'TM_KEY_RING',
        `revision ${ring.revision} of the key ring is older than ${revisionMin}, seen before`,
        { context: { path: paths.ring, revision: ring.revision, revisionMin } },
      );
    }
    return { ring, root };
  } catch (error) {
    root.fill(0);
    throw error;
  }
}

/**
 * Replaces ring.json by what `change` makes of it; one process at a time. A crash leaves the old
 * or the new ring, and the old one as ring.json.1.
 * @throws KeyError `TM_KEY_RING`, `TM_BUSY` when another process changes the ring.
 */
export async function updateRing(
  options: KeyRingOptions,
  change: (loaded: LoadedRing) => RingFile,
): Promise<void> {
  await assertPrivateDir(options.dir);
  const lock = await RingLock.take(join(options.dir, 'ring.lock'), options.random);
  try {
    const loaded = await loadRing(options);
    try {
      const ring = change(loaded);
      await lock.assertHeld();
      await writeRing(options.dir, ring, loaded.root);
    } finally {
      loaded.root.fill(0);
    }
  } finally {
    await lock.release();
  }
}

async function writeRing(dir: string, ring: RingFile, root: Buffer): Promise<void> {
  const paths = pathsOf(dir);
  try {
    await removeIfThere(paths.staged);
    await createPrivateFile(paths.staged, encodeRingFile(ring, root));
    if (await isThere(paths.ring)) {
      await removeIfThere(paths.previous);
      await link(paths.ring, paths.previous);
    }
    await rename(paths.staged, paths.ring);
    await syncDir(dir);
  } catch (cause) {
    throw refused(paths.ring, 'cannot be written', undefined, cause);
  }
}

function readRoot(options: KeyRingOptions): Promise<Buffer> {
  return options.rootKeyFile === undefined
    ? readSecretFile(pathsOf(options.dir).root)
    : readSecretFile(options.rootKeyFile, { systemCredential: true });
}

async function makeDir(dir: string): Promise<void> {
  try {
    await mkdir(dirname(dir), { recursive: true });
    await mkdir(dir, { mode: 0o700 });
    await syncDir(dirname(dir));
  } catch (cause) {
    if (!isSystemError(cause, 'EEXIST')) throw refused(dir, 'cannot be made', undefined, cause);
  }
  await assertPrivateDir(dir);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return false;
    throw refused(path, 'cannot be read', undefined, cause);
  }
}
