import { cp, readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';

/** A file of a file-system store. */
export interface StoreFile {
  /** Key of the object, as messages name it. */
  readonly key: string;
  readonly path: string;
}

/** Every object of a file-system store by its file, in key order (docs/formats/file-store.md). */
export async function listStoreFiles(root: string): Promise<readonly StoreFile[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('+obj'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ key: keyOf(path.slice(root.length + 1)), path }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Folders that begin with a plus sign only spread the files. */
function keyOf(relativePath: string): string {
  const parts = relativePath.split(sep).filter((part) => !part.startsWith('+'));
  return parts.join('/').replace(/\+obj$/, '');
}

/** Copies a folder with its modes and times. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, preserveTimestamps: true });
}
