import { open, readdir, rm } from 'node:fs/promises';
import { constants, linkSync, lstatSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '@tidemark/core';
import {
  MANIFEST_BYTES_MAX,
  parseManifest,
  type AofManifest,
  type ManifestFile,
} from '../manifest/parse-manifest.ts';
import type { PinClass } from './model.ts';
import { errorCode, findFile, isMissing, makePinFolders } from './pin-files.ts';
import { realFolder } from './pin-keeper.ts';
import { pinPlace } from './pin-names.ts';

/** What a look at an AOF folder tells before anything is captured. */
export interface AofDirFacts {
  /** Real path of the folder. */
  readonly dir: string;
  readonly manifestName: string;
  /** How files could be held: a real link was tried. */
  readonly pinClass: PinClass;
  readonly base: ManifestFile | null;
  /** Bytes of the base, 0 without one. */
  readonly baseBytes: number;
  /** How many increments follow the base. */
  readonly incrCount: number;
  /** Bytes of all increments. */
  readonly incrBytes: number;
}

const refuse = (message: string, dir: string, hint: string, cause?: unknown): UsageError =>
  new UsageError('TM_AOF_DIR', message, {
    context: { dir },
    hint,
    ...(cause === undefined ? {} : { cause }),
  });

/** How often a rewrite may take a file away while the folder is looked at. */
const ATTEMPTS = 5;
const USER_HINT = "run beside the server, as the server's user";

async function readStart(path: string, bytesMax: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, bytesMax)), 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The manifest by its usual name, or the only one that lies in the folder. */
async function findManifest(dir: string, appendFileName: string | null): Promise<string> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    const hint = isMissing(error)
      ? 'give the folder `appenddirname` inside the `dir` of the server'
      : USER_HINT;
    throw refuse(`the AOF folder cannot be read (${errorCode(error)})`, dir, hint, error);
  }
  const wanted = `${appendFileName ?? 'appendonly.aof'}.manifest`;
  if (names.includes(wanted)) return wanted;
  const others = names.filter((name) => name.endsWith('.manifest') && !name.startsWith('temp-'));
  const [only] = others;
  if (appendFileName === null && others.length === 1 && only !== undefined) return only;
  throw refuse(
    `${dir} holds no AOF manifest`,
    dir,
    'name the folder that holds <appendfilename>.manifest (CONFIG GET dir, appenddirname); the append-only file must be on, in 7.0 or newer',
  );
}

async function readManifest(dir: string, name: string): Promise<AofManifest> {
  try {
    return parseManifest(await readStart(join(dir, name), MANIFEST_BYTES_MAX + 1));
  } catch (error) {
    const code = errorCode(error);
    if (code.startsWith('TM_')) throw error;
    throw refuse(`the AOF manifest cannot be read (${code})`, dir, USER_HINT, error);
  }
}

/** A base must be an RDB from its first byte to its last. */
async function checkBase(dir: string, manifest: AofManifest): Promise<number> {
  const { base } = manifest;
  if (base === null) {
    if (manifest.incr.length > 0) return 0;
    throw new UsageError('TM_AOF_BASE', 'the AOF has no base and no increment', {
      context: { dir },
      hint: 'switch the append-only file on',
    });
  }
  const path = join(dir, base.name);
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    if (base.name.endsWith('.rdb')) return size;
    const head = Buffer.alloc(6);
    await file.read(head, 0, 6, 0);
    const tail = Buffer.alloc(9);
    if (size >= 18) await file.read(tail, 0, 9, size - 9);
    const rdb = head.toString('latin1').startsWith('REDIS') || head.toString('latin1') === 'VALKEY';
    // The end-of-file opcode stands 9 bytes before the end; after an upgrade from 6.x commands may
    // follow it, and such a base is not one snapshot.
    if (rdb && tail[0] === 0xff) return size;
  } finally {
    await file.close();
  }
  throw new UsageError('TM_AOF_BASE', 'the AOF base is not an RDB file', {
    context: { dir, base: base.name },
    hint: 'set "aof-use-rdb-preamble yes" on the server and run BGREWRITEAOF once',
  });
}

/** Tries what the pin thread will do. The trial link is removed at once. */
function tryLink(dir: string, manifestName: string, sample: string): PinClass {
  const place = pinPlace(dir, manifestName, null);
  const trial = join(place.dir, 'trial');
  try {
    makePinFolders(place.root, place.dir);
    removeIfThere(trial);
    linkSync(join(dir, sample), trial);
    return lstatSync(trial).isFile() ? 'pinned' : 'held';
  } catch {
    return 'held';
  } finally {
    removeIfThere(trial);
    removeIfEmpty(place.dir);
    removeIfEmpty(place.root);
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // there are pins in it, or there was none
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // there was none, or the folder is not ours: the link fails then
  }
}

interface Measured {
  readonly manifest: AofManifest;
  readonly baseBytes: number;
  readonly incrBytes: number;
}

/** Looks at every file; `null` when one went with a rewrite meanwhile. */
async function measure(dir: string, manifestName: string): Promise<Measured | null> {
  const manifest = await readManifest(dir, manifestName);
  try {
    const baseBytes = await checkBase(dir, manifest);
    let incrBytes = 0;
    for (const { name, seq } of manifest.incr) {
      const found = findFile(join(dir, name), seq);
      if (found === null) return null;
      await readStart(join(dir, name), 1);
      incrBytes += found.size;
    }
    return { manifest, baseBytes, incrBytes };
  } catch (error) {
    const code = errorCode(error);
    if (isMissing(error)) return null;
    if (code.startsWith('TM_')) throw error;
    throw refuse(`a file of the AOF cannot be read (${code})`, dir, USER_HINT, error);
  }
}

/**
 * Looks at an AOF folder before an instance is added: whether it can be read, whether its base can
 * be captured, and how its files could be held.
 * @param appendFileName - `appendfilename` of the server; by default `appendonly.aof`, or the only
 *   manifest of the folder.
 * @throws UsageError `TM_AOF_DIR` (folder, manifest or a file missing or not readable),
 *   `TM_AOF_BASE` (base in command form, or none); FormatError `TM_AOF_MANIFEST`.
 */
export async function probeAofDir(
  dir: string,
  appendFileName: string | null = null,
): Promise<AofDirFacts> {
  const folder = await realFolder(dir);
  const manifestName = await findManifest(folder, appendFileName);
  let measured: Measured | null = null;
  for (let attempt = 0; measured === null && attempt < ATTEMPTS; attempt++) {
    measured = await measure(folder, manifestName);
  }
  if (measured === null) throw refuse('a file of the AOF manifest is missing', dir, USER_HINT);
  const { manifest, baseBytes, incrBytes } = measured;
  const sample = manifest.incr.at(-1)?.name ?? manifest.base?.name ?? manifestName;
  return {
    dir: folder,
    manifestName,
    pinClass: tryLink(folder, manifestName, sample),
    base: manifest.base,
    baseBytes,
    incrCount: manifest.incr.length,
    incrBytes,
  };
}

/**
 * Removes every pin of one capture: on detach, when no process reads the folder any more. The
 * common pin folder goes too when nothing else is in it.
 */
export async function removeAofPins(options: {
  readonly dir: string;
  readonly manifestName?: string;
  readonly pinOwner?: string;
}): Promise<void> {
  const { manifestName = 'appendonly.aof.manifest', pinOwner = null } = options;
  const place = pinPlace(await realFolder(options.dir), manifestName, pinOwner);
  await rm(place.dir, { recursive: true, force: true });
  removeIfEmpty(place.root);
}
