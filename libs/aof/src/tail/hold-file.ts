import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { FileIdentity } from './model.ts';
import { linkPin, openSame, type FoundFile } from './pin-files.ts';
import { formatPinName } from './pin-names.ts';
import type { LogHead, SeenFile } from './seen.ts';

/** Where the files and their pins are. */
export interface HoldPlace {
  readonly dir: string;
  readonly pinRoot: string;
  readonly pinDir: string;
}

/**
 * Holds a file that was looked at: by a hard link, else by an open descriptor.
 * @returns `null` when the name left the file meanwhile.
 */
export function holdFile(
  place: HoldPlace,
  name: string,
  type: SeenFile['type'],
  found: FoundFile,
  previous: FileIdentity | null,
): SeenFile | null {
  const path = join(place.dir, name);
  const { identity, size } = found;
  const pin = { type, ...identity, previous };
  const seen = { type, ...identity, name, size, previous };
  switch (linkPin(path, place.pinRoot, place.pinDir, pin)) {
    case 'linked':
      return { ...seen, path: join(place.pinDir, formatPinName(pin)), pinned: true, fd: null };
    case 'refused': {
      const fd = openSame(path, identity);
      return fd === null ? null : { ...seen, path, pinned: false, fd };
    }
    case 'gone':
    case 'replaced':
      return null;
  }
}

/**
 * What a log begins with. A file that begins with an RDB does so from its first moment on: it is
 * written under another name and renamed when it is whole.
 */
export function headOf(file: SeenFile): LogHead {
  const own = file.fd === null;
  const fd = file.fd ?? openSync(file.path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const start = Buffer.alloc(6);
    readSync(fd, start, 0, 6, 0);
    return isRdbStart(start) ? 'rdb' : 'none';
  } finally {
    if (own) closeSync(fd);
  }
}

/** Whether a file begins like an RDB of Redis or Valkey. */
export function isRdbStart(start: Uint8Array): boolean {
  const text = Buffer.from(start.subarray(0, 6)).toString('latin1');
  return text.startsWith('REDIS') || text === 'VALKEY';
}
