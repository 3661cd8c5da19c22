import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, storeError } from './fs-errors.ts';

/**
 * What `link` answers where a file cannot have a second name in the store: another file system or
 * mount, no right to link it, too many links, or the file is gone.
 */
export const NOT_LINKED: ReadonlySet<string> = new Set([
  ...['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT'],
]);

/**
 * Whether a file may become an object as it is: a plain one that nobody else may open. It is made
 * durable, so that it can be named.
 * @param durable - False: it is not synced.
 * @throws StoreError `TM_STORE_IO`, `TM_STORE_FULL` when the sync fails: what lies on the disk is not
 *   known then, and a copy would not be better.
 */
export async function isLinkable(path: string, key: string, durable: boolean): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (errnoOf(cause) === '') throw cause;
    return false; // the body says what is the matter
  }
  try {
    const facts = await file.stat();
    if (!facts.isFile() || (facts.mode & 0o077) !== 0) return false;
    if (durable) await file.datasync(); // all but the time of its last change
    return true;
  } catch (cause) {
    throw storeError('sync', key, cause);
  } finally {
    await file.close();
  }
}
