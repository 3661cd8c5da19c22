import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { isSafeName, UsageError } from '@tidemark/core';
import type { FileIdentity } from './model.ts';

/** Folder beside the AOF folder that holds the pins of all captures. Mode 0700. */
export const PIN_ROOT_NAME = '.tidemark-pins';

/** What a pin is a hard link to. */
export interface PinName extends FileIdentity {
  readonly type: 'b' | 'i';
  /** The increment that one manifest listed right before this one, when such a one was read. */
  readonly previous: FileIdentity | null;
}

/** One key per file that ever was: `type.seq.dev.ino`. */
export function fileKey(type: 'b' | 'i', id: FileIdentity): string {
  return `${type}.${id.seq}.${id.dev}.${id.ino}`;
}

export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.seq === b.seq && a.ino === b.ino && a.dev === b.dev;
}

/**
 * The name of a pin. It carries device and inode, so that a name or seq the server uses again never
 * meets an old pin, and the increment before it, so that the proof outlives the process.
 */
export function formatPinName(pin: PinName): string {
  const own = `${pin.seq}.${pin.dev}.${pin.ino}`;
  if (pin.type === 'b') return `base.${own}`;
  const { previous } = pin;
  const before = previous === null ? '' : `.after.${previous.seq}.${previous.dev}.${previous.ino}`;
  return `incr.${own}${before}`;
}

const PIN_NAME =
  /^(base|incr)\.(\d{1,16})\.(\d{1,20})\.(\d{1,20})(?:\.after\.(\d{1,16})\.(\d{1,20})\.(\d{1,20}))?$/;

/** The reverse of {@link formatPinName}; `null` for a name that is not one of ours. */
export function parsePinName(name: string): PinName | null {
  const parts = PIN_NAME.exec(name);
  if (parts === null) return null;
  const [, word, seq = '', dev = '', ino = '', beforeSeq, beforeDev = '', beforeIno = ''] = parts;
  const previous =
    beforeSeq === undefined ? null : { seq: Number(beforeSeq), dev: beforeDev, ino: beforeIno };
  if (word === 'base' && previous !== null) return null;
  return { type: word === 'base' ? 'b' : 'i', seq: Number(seq), dev, ino, previous };
}

/** The folders that hold the pins of one capture. */
export interface PinPlace {
  /** `.tidemark-pins` beside the AOF folder. */
  readonly root: string;
  /** The folder inside it for this AOF folder, manifest and owner. */
  readonly dir: string;
}

/**
 * Where the pins of one AOF folder lie.
 * @param aofDir - Real path of the AOF folder.
 * @throws UsageError `TM_USAGE` when the owner is not a safe name.
 */
export function pinPlace(aofDir: string, manifestName: string, owner: string | null): PinPlace {
  if (owner !== null && !isSafeName(owner)) {
    throw new UsageError('TM_USAGE', 'the owner of pins is not a safe name');
  }
  const hash = createHash('sha256').update(`${aofDir}\0${manifestName}`).digest('hex');
  const readable = basename(aofDir)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40);
  const root = join(dirname(aofDir), PIN_ROOT_NAME);
  const suffix = owner === null ? '' : `-${owner}`;
  return { root, dir: join(root, `${readable}-${hash.slice(0, 16)}${suffix}`) };
}
