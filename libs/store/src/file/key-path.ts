import { join } from 'node:path';
import { isKeyComponent } from '../object-key.ts';

/** Ends the file name of an object. No key holds a plus sign, so nothing else is named so. */
export const OBJECT_MARK = '+obj';
/** Begins the name of a fan-out folder; what follows begins the name of every object in it. */
export const GROUP_MARK = '+';
/** Folder of unfinished objects; no key component begins with a dot. */
export const STAGING_FOLDER = '.tmp';

/** Where an object lies, relative to the root of the store. */
export interface KeyPath {
  readonly folders: readonly string[];
  readonly file: string;
}

/**
 * Beginnings of a name that become folders, so that no folder grows without end.
 *
 * A name of 20 digits counts (log entries, checkpoints): 1,000 names a folder. A name with 20
 * digits among other things is an offset in bytes (segments): 1 GB of a timeline a folder, 1 TB in
 * the folder above. Other names are few and lie side by side.
 * @see docs/formats/file-store.md
 */
export function fanOut(name: string): readonly string[] {
  if (/^\d{20}$/.test(name)) return [name.slice(0, 14), name.slice(0, 17)];
  const digits = /(?:^|[-._])(\d{20})(?=[-._]|$)/.exec(name);
  if (digits === null) return [];
  const start = digits.index + digits[0].length - 20;
  return [name.slice(0, start + 8), name.slice(0, start + 11)];
}

/** The one path of a key. The key must have passed `assertObjectKey`. */
export function pathOfKey(key: string): KeyPath {
  const folders = key.split('/');
  const name = folders.pop() ?? '';
  for (const group of fanOut(name)) folders.push(GROUP_MARK + group);
  return { folders, file: name + OBJECT_MARK };
}

/** What an entry of a folder is: `key` is the key, or what all keys below it begin with. */
export interface Entry {
  readonly kind: 'object' | 'group' | 'folder';
  readonly key: string;
  readonly path: string;
}

/**
 * Reads the name of an entry; null for anything that is not the store's.
 *
 * @param parent - The folder it lies in: the beginning of the keys of its components (ends with a
 *   slash or is empty), and its path.
 */
export function entryOf(
  name: string,
  parent: { readonly base: string; readonly path: string },
): Entry | null {
  const path = join(parent.path, name);
  if (name.startsWith(GROUP_MARK)) {
    const group = name.slice(GROUP_MARK.length);
    return isKeyComponent(group) ? { kind: 'group', key: parent.base + group, path } : null;
  }
  if (name.endsWith(OBJECT_MARK)) {
    const component = name.slice(0, -OBJECT_MARK.length);
    return isKeyComponent(component)
      ? { kind: 'object', key: parent.base + component, path }
      : null;
  }
  return isKeyComponent(name) ? { kind: 'folder', key: `${parent.base}${name}/`, path } : null;
}
