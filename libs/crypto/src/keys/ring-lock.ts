import { hostname } from 'node:os';
import { KeyError, type Random } from '@tidemark/core';
import {
  isSystemError,
  publishPrivateFile,
  readPrivateFile,
  removeIfThere,
} from './private-files.ts';

/** Tokens of locks that this process holds; tells them from those of a dead process with its id. */
const held = new Set<string>();
const LOCK_BYTES_MAX = 512;

/**
 * Lets one process at a time change a ring: a file that says who holds it.
 *
 * Two rotations at once would lose a key version, and with it every data key wrapped in between. A
 * lock of a process of this host that has died is removed; of another host it is not.
 */
export class RingLock {
  readonly #path: string;
  readonly #content: string;

  private constructor(path: string, content: string) {
    this.#path = path;
    this.#content = content;
  }

  /** @throws KeyError `TM_BUSY` when it is held, `TM_KEY_RING` when the file system refuses. */
  static async take(path: string, random: Random): Promise<RingLock> {
    const content = `${process.pid} ${random.bytes(16).toString('hex')} ${hostname()}`;
    held.add(content);
    try {
      for (let attempt = 0; attempt < 3; attempt++) {
        if (await publishPrivateFile(path, Buffer.from(content), random)) {
          return new RingLock(path, content);
        }
        const other = await readLock(path);
        if (other !== null && mayBeAlive(other)) throw busy(path, other);
        await removeIfThere(path);
      }
      throw busy(path, '');
    } catch (error) {
      held.delete(content);
      throw error;
    }
  }

  /** @throws KeyError `TM_BUSY` when somebody took the lock away. */
  async assertHeld(): Promise<void> {
    const content = await readLock(this.#path);
    if (content !== this.#content) throw busy(this.#path, content ?? '');
  }

  async release(): Promise<void> {
    held.delete(this.#content);
    if ((await readLock(this.#path)) === this.#content) await removeIfThere(this.#path);
  }
}

async function readLock(path: string): Promise<string | null> {
  try {
    const bytes = await readPrivateFile(path, { bytesMax: LOCK_BYTES_MAX });
    return bytes.toString('utf8');
  } catch (error) {
    if (error instanceof KeyError && isSystemError(error.cause, 'ENOENT')) return null;
    throw error;
  }
}

function mayBeAlive(content: string): boolean {
  const [pidText = '', , host] = content.split(' ');
  const pid = Number(pidText);
  if (host !== hostname()) return true;
  if (pid === process.pid) return held.has(content);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ESRCH');
  }
}

function busy(path: string, holder: string): KeyError {
  const [pid = '', , host = ''] = holder.split(' ');
  return new KeyError('TM_BUSY', 'another process changes the key ring', {
    context: { path, pid, host },
    hint: `try again; when no Tidemark process changes it, remove ${path}`,
  });
}
