import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  type BigIntStats,
} from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '@tidemark/core';
import type { FileIdentity } from './model.ts';
import { formatPinName, parsePinName, type PinName } from './pin-names.ts';

/** The `code` of a Node.js file error, or an empty string. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** Whether a name is gone (or a folder of the path). */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** `lstat`, or `null` when there is nothing. */
export function statOrNull(path: string): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

const identityOf = (seq: number, stat: BigIntStats): FileIdentity => ({
  seq,
  dev: stat.dev.toString(),
  ino: stat.ino.toString(),
});

/** A file found under a name: a regular file, no link followed. */
export interface FoundFile {
  readonly identity: FileIdentity;
  readonly size: number;
}

/** Looks at a file of the AOF folder; `null` when it is gone. */
export function findFile(path: string, seq: number): FoundFile | null {
  const stat = statOrNull(path);
  if (stat === null) return null;
  if (!stat.isFile()) {
    const context = { path };
    throw new UsageError('TM_AOF_DIR', 'an AOF file that is not a regular file', { context });
  }
  return { identity: identityOf(seq, stat), size: Number(stat.size) };
}

/**
 * Makes the pin folders (0700), or makes sure of those that are there: real folders, of this user
 * or of root, closed to others. Something else in their place is refused.
 */
export function makePinFolders(root: string, dir: string): void {
  for (const path of [root, dir]) {
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
      const stat = lstatSync(path);
      if (!stat.isDirectory() || !OWNERS.includes(stat.uid)) throw error;
      if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
    }
  }
}

const OWNERS: readonly number[] = [0, process.geteuid?.() ?? 0];

/** The outcome of one attempt to link. */
export type LinkOutcome = 'linked' | 'gone' | 'replaced' | 'refused';

/**
 * Hard-links a file into the pin folder and proves that the link is the file that was looked at.
 * @returns `refused` when this file system or user cannot link; `gone` or `replaced` when the name
 *   changed meanwhile.
 */
export function linkPin(path: string, pinRoot: string, pinDir: string, pin: PinName): LinkOutcome {
  const target = join(pinDir, formatPinName(pin));
  try {
    makePinFolders(pinRoot, pinDir);
    linkSync(path, target);
  } catch (error) {
    if (isMissing(error)) return 'gone';
    if (errorCode(error) !== 'EEXIST' || statOrNull(target) === null) return 'refused';
  }
  const stat = statOrNull(target);
  if (stat?.ino.toString() === pin.ino && stat.dev.toString() === pin.dev) return 'linked';
  if (stat !== null) unlinkSync(target);
  return 'replaced';
}

/** Opens a file for reading without following a link, if it is still the one that was looked at. */
export function openSame(path: string, identity: FileIdentity): number | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  const stat = fstatSync(fd, { bigint: true });
  if (stat.ino.toString() === identity.ino && stat.dev.toString() === identity.dev) return fd;
  closeSync(fd);
  return null;
}

/**
 * Takes over the pins of an earlier version, which lie in a folder without an owner. The first
 * capture of the AOF folder that comes gets them; pins say themselves what they are.
 */
export function takeOverPins(ownerless: string, pinDir: string): void {
  if (ownerless === pinDir || statOrNull(pinDir) !== null) return;
  try {
    renameSync(ownerless, pinDir);
  } catch {
    // There are none, another capture was faster, or they are not ours to move.
  }
}

/** A pin that lies in the pin folder. */
export interface FoundPin {
  readonly pin: PinName;
  readonly path: string;
  readonly size: number;
}

/** The pins in a pin folder; names that are not ours, or not what they say, are left out. */
export function listPins(pinDir: string): FoundPin[] {
  let names: string[];
  try {
    names = readdirSync(pinDir);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const found: FoundPin[] = [];
  for (const name of names) {
    const pin = parsePinName(name);
    if (pin === null) continue;
    const path = join(pinDir, name);
    const stat = statOrNull(path);
    if (stat === null || !stat.isFile() || stat.ino.toString() !== pin.ino) continue;
    if (stat.dev.toString() !== pin.dev) continue;
    found.push({ pin, path, size: Number(stat.size) });
  }
  return found;
}
