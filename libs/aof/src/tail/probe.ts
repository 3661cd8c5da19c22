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
import { isRdbStart } from './hold-file.ts';
import type { AofLayout, PinClass } from './model.ts';
import { errorCode, findFile, isMissing, makePinFolders } from './pin-files.ts';
import { realFolder } from './pin-keeper.ts';
import { pinPlace } from './pin-names.ts';

/** What a look at an AOF folder tells before anything is captured. */
export interface AofDirFacts {
  /** Real path of the folder. */
  readonly dir: string;
  readonly layout: AofLayout;
  /** Of the manifest, or of the log itself where it is a single file. */
  readonly manifestName: string;
  /** How files could be held: a real link was tried. */
  readonly pinClass: PinClass;
  /** Null for a single file too. */
  readonly base: ManifestFile | null;
  /** Whether the dataset before the increments is an RDB, commands, or an RDB and then commands. */
  readonly baseForm: 'none' | 'rdb' | 'commands' | 'rdb-and-commands';
  /** Bytes of the base, 0 without one. */
  readonly baseBytes: number;
  /** How many increments follow the base; a single file counts as one. */
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

interface Found {
  readonly layout: AofLayout;
  readonly name: string;
}

/** The manifest by its usual name, or the only one in the folder; else the single file of 6.x. */
async function findLog(dir: string, appendFileName: string | null): Promise<Found> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    const hint = isMissing(error)
      ? 'give the folder `appenddirname` inside the `dir` of the server'
      : USER_HINT;
    throw refuse(`the AOF folder cannot be read (${errorCode(error)})`, dir, hint, error);
  }
  const single = appendFileName ?? 'appendonly.aof';
  const manifest = pick(names, `${single}.manifest`, '.manifest', appendFileName === null);
  if (manifest !== null) return { layout: 'multi-part', name: manifest };
  const file = pick(names, single, '.aof', appendFileName === null);
  if (file !== null) return { layout: 'single-file', name: file };
  throw refuse(
    `${dir} holds no AOF manifest and no append-only file`,
    dir,
    'name the folder that holds <appendfilename>.manifest (7.0 and newer: CONFIG GET dir, appenddirname) or <appendfilename> itself (6.x: CONFIG GET dir); the append-only file must be on',
  );
}

/** A name, or the only one with this ending that is no temporary file. */
function pick(names: readonly string[], wanted: string, end: string, any: boolean): string | null {
  if (names.includes(wanted)) return wanted;
  const others = names.filter((name) => name.endsWith(end) && !name.startsWith('temp-'));
  return any && others.length === 1 ? (others[0] ?? null) : null;
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

/** What the base holds, judged by its name and its first bytes. */
async function lookAtBase(
  dir: string,
  manifest: AofManifest,
): Promise<Pick<AofDirFacts, 'baseBytes' | 'baseForm'>> {
  const { base } = manifest;
  if (base === null) {
    if (manifest.incr.length > 0) return { baseBytes: 0, baseForm: 'none' };
    throw new UsageError('TM_AOF_BASE', 'the AOF has no base and no increment', {
      context: { dir },
      hint: 'switch the append-only file on',
    });
  }
  const found = findFile(join(dir, base.name), base.seq);
  const start = await readStart(join(dir, base.name), 6);
  const baseBytes = found?.size ?? start.length;
  if (base.name.endsWith('.rdb')) return { baseBytes, baseForm: 'rdb' };
  return { baseBytes, baseForm: isRdbStart(start) ? 'rdb-and-commands' : 'commands' };
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

type Measured = Omit<AofDirFacts, 'dir' | 'pinClass'> & { readonly sample: string };

/** Looks at every file; `null` when one went with a rewrite meanwhile. */
async function measure(dir: string, { layout, name }: Found): Promise<Measured | null> {
  try {
    return layout === 'single-file'
      ? await measureSingle(dir, name)
      : await measureFolder(dir, name);
  } catch (error) {
    const code = errorCode(error);
    if (isMissing(error)) return null;
    if (code.startsWith('TM_')) throw error;
    throw refuse(`a file of the AOF cannot be read (${code})`, dir, USER_HINT, error);
  }
}

async function measureFolder(dir: string, manifestName: string): Promise<Measured | null> {
  const { base, incr, history } = await readManifest(dir, manifestName);
  const facts = await lookAtBase(dir, { base, incr, history });
  let incrBytes = 0;
  for (const { name, seq } of incr) {
    const found = findFile(join(dir, name), seq);
    if (found === null) return null;
    await readStart(join(dir, name), 1);
    incrBytes += found.size;
  }
  const sample = incr.at(-1)?.name ?? base?.name ?? manifestName;
  const layout = 'multi-part';
  return { ...facts, layout, manifestName, base, incrCount: incr.length, incrBytes, sample };
}

async function measureSingle(dir: string, name: string): Promise<Measured | null> {
  const found = findFile(join(dir, name), 0);
  if (found === null) return null;
  const rdb = isRdbStart(await readStart(join(dir, name), 6));
  return {
    layout: 'single-file',
    manifestName: name,
    base: null,
    baseForm: rdb ? 'rdb-and-commands' : 'commands',
    baseBytes: 0,
    incrCount: 1,
    incrBytes: found.size,
    sample: name,
  };
}

/**
 * Looks at an AOF folder before an instance is added: which layout it has, whether it can be read,
 * and how its files could be held.
 * @param dir - The folder of the manifest; of a server before 7.0 the one of the append-only file.
 * @param appendFileName - `appendfilename` of the server; by default `appendonly.aof`, or the only
 *   manifest (or append-only file) of the folder.
 * @throws UsageError `TM_AOF_DIR` (folder, manifest or a file missing or not readable),
 *   `TM_AOF_BASE` (no base and no increment); FormatError `TM_AOF_MANIFEST`.
 */
export async function probeAofDir(
  dir: string,
  appendFileName: string | null = null,
): Promise<AofDirFacts> {
  const folder = await realFolder(dir);
  const log = await findLog(folder, appendFileName);
  let measured: Measured | null = null;
  for (let attempt = 0; measured === null && attempt < ATTEMPTS; attempt++) {
    measured = await measure(folder, log);
  }
  if (measured === null) throw refuse('a file of the AOF manifest is missing', dir, USER_HINT);
  const { sample, ...facts } = measured;
  return { dir: folder, pinClass: tryLink(folder, log.name, sample), ...facts };
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
