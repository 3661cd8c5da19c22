import { constants } from 'node:fs';
import { access, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  type AofManifest,
  MANIFEST_BYTES_MAX,
  type ManifestFile,
  parseManifest,
} from '@tidemark/aof';
import { UsageError } from '@tidemark/core';
import { unreadable } from './input-file.ts';

/** A file of an AOF and what it is in it. */
export interface AofPart {
  readonly name: string;
  readonly path: string;
  readonly role: 'base' | 'history' | 'increment' | 'single';
  /** Sequence number of the manifest; null for a single file. */
  readonly seq: number | null;
  /** `startoffset` of the manifest (Redis 8.0 and newer), else null. */
  readonly startOffset: string | null;
  readonly present: boolean;
}

/** The files of an AOF in the order a server loads them, history (not loaded) first. */
export interface AofFolder {
  /** Null for a single file, as servers before 7.0 write it. */
  readonly manifest: string | null;
  readonly parts: readonly AofPart[];
}

/** Name of a single file where the setting `appendfilename` was left alone. */
const SINGLE_NAME = 'appendonly.aof';
/** A line of a manifest begins with this word, unless it is a comment. */
const MANIFEST_START = /^(?:#[^\n]*\n)*file /;

/**
 * Finds the files of an AOF: by the folder of a multi-part one, by a manifest, or by a single file.
 * @throws UsageError `TM_USAGE` when there is none or more than one; FormatError `TM_AOF_MANIFEST`.
 */
export async function findAof(path: string): Promise<AofFolder> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if (!isFolder) {
    const head = await readHead(path);
    return MANIFEST_START.test(head.toString('latin1', 0, 4096)) ? multiPart(path) : single(path);
  }
  const names = await readdir(path);
  const manifests = names.filter((name) => name.endsWith('.manifest') && !name.startsWith('temp-'));
  const [manifest] = manifests;
  if (manifest !== undefined && manifests.length === 1) return multiPart(join(path, manifest));
  if (manifests.length > 1) {
    throw new UsageError('TM_USAGE', `${path} holds ${manifests.length.toString()} manifests`, {
      hint: `name one of them: ${manifests.sort().join(', ')}`,
    });
  }
  if (names.includes(SINGLE_NAME)) return single(join(path, SINGLE_NAME));
  throw new UsageError('TM_USAGE', `${path} holds no AOF manifest`, {
    hint: 'name the folder of `appenddirname`, or a single append-only file by its path',
  });
}

async function readHead(path: string): Promise<Buffer> {
  try {
    await using handle = await openForUse(path);
    const { bytesRead, buffer } = await handle.file.read(
      Buffer.alloc(MANIFEST_BYTES_MAX + 1),
      0,
      MANIFEST_BYTES_MAX + 1,
      0,
    );
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function openForUse(
  path: string,
): Promise<AsyncDisposable & { file: Awaited<ReturnType<typeof open>> }> {
  const file = await open(path);
  return { file, [Symbol.asyncDispose]: () => file.close() };
}

function single(path: string): AofFolder {
  const name = basename(path);
  const part: AofPart = {
    ...{ name, path, role: 'single', seq: null, startOffset: null, present: true },
  };
  return { manifest: null, parts: [part] };
}

async function multiPart(manifest: string): Promise<AofFolder> {
  const parsed: AofManifest = parseManifest(await readHead(manifest));
  const dir = dirname(manifest);
  const parts: AofPart[] = [];
  for (const file of [
    ...parsed.history,
    ...(parsed.base === null ? [] : [parsed.base]),
    ...parsed.incr,
  ]) {
    parts.push(await partOf(dir, file));
  }
  return { manifest, parts };
}

const ROLES = { b: 'base', h: 'history', i: 'increment' } as const;

async function partOf(dir: string, file: ManifestFile): Promise<AofPart> {
  const path = join(dir, file.name);
  const { name, seq, type, extra } = file;
  const startOffset = extra['startoffset'] ?? null;
  return { name, path, role: ROLES[type], seq, startOffset, present: await isThere(path) };
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
