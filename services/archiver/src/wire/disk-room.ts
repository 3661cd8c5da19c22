import { statfs } from 'node:fs/promises';
import { TidemarkError } from '@tidemark/core';

/** Room left on the disk below which nothing more is spooled. */
const FREE_BYTES_MIN = 64 * 1024 * 1024;
/** How much is written between two looks. */
const LOOK_BYTES = 16 * 1024 * 1024;

/** Sees to it that the spool leaves room on its disk for others. */
export class DiskRoom {
  readonly #dir: string;
  readonly #freeBytesMin: number;
  #unseen = LOOK_BYTES;

  constructor(dir: string, freeBytesMin: number = FREE_BYTES_MIN) {
    this.#dir = dir;
    this.#freeBytesMin = freeBytesMin;
  }

  /** @throws TidemarkError `TM_SPOOL` when the disk is nearly full. */
  async take(bytes: number): Promise<void> {
    this.#unseen += bytes;
    if (this.#unseen < LOOK_BYTES) return;
    const { bavail, bsize } = await statfs(this.#dir);
    const freeBytes = bavail * bsize;
    if (freeBytes <= this.#freeBytesMin) {
      throw new TidemarkError('TM_SPOOL', 'the disk of the spool is nearly full', {
        context: { freeBytes, freeBytesMin: this.#freeBytesMin },
        hint: 'make room on it, or move state.dir',
      });
    }
    this.#unseen = 0;
  }
}
