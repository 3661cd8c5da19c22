import { readdir, stat } from 'node:fs/promises';
import { StoreError } from '@tidemark/core';
import { errnoOf } from './fs-errors.ts';
import { STAGING_FOLDER } from './key-path.ts';

/** What lies in a store before anything is kept in it. */
const NOTHING_KEPT = new Set([STAGING_FOLDER, 'probe', 'lost+found']);

/**
 * Notices that the folder of a store is another one than before: a mount that is gone leaves the empty
 * folder below it, and what is written there is hidden as soon as it is back.
 *
 * One `stat` for each look. A folder with objects is taken for the same store, as after it was mounted again.
 */
export class RootGuard {
  private readonly root: string;
  /** Device and number of the folder; null: not looked at yet. */
  private place: string | null = null;
  /** Whether the store held objects when it was last seen. */
  private held = false;

  constructor(root: string) {
    this.root = root;
  }

  /** From now on the store holds something. */
  noteObject(): void {
    this.held = true;
  }

  /**
   * @returns Whether the folder is another one than at the last look: what was known of it is not true any more.
   * @throws StoreError `TM_STORE_IO` when it is another one, or none, and holds nothing, though it did.
   */
  async changed(): Promise<boolean> {
    const place = await placeOf(this.root);
    if (place !== null && place === this.place) return false;
    const holds = place !== null && (await holdsObjects(this.root));
    if (this.held && !holds) {
      throw new StoreError('TM_STORE_IO', 'the folder of the store does not hold what it held', {
        context: { root: this.root },
        hint: 'is it mounted? Nothing is written to what lies in its place',
      });
    }
    const known = this.place !== null;
    this.place = place;
    this.held ||= holds;
    return known;
  }
}

async function placeOf(root: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(root, { bigint: true });
    return `${dev.toString()}:${ino.toString()}`;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw cause;
  }
}

async function holdsObjects(root: string): Promise<boolean> {
  return (await readdir(root)).some((name) => !NOTHING_KEPT.has(name));
}
