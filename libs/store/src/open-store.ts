import type { Random } from '@tidemark/core';
import { openFileStore } from './file/file-store.ts';
import type { ObjectStore } from './object-store.ts';

/** A store in a folder of a local file system. */
export interface FileStoreSettings {
  readonly kind: 'file';
  /** Absolute path. */
  readonly root: string;
}

/** Where a store is and how it is used: plain data without secrets, as the configuration says it. */
export type StoreSettings = FileStoreSettings;

/**
 * Opens the store that the settings name. For the main of a service: all else is given a store.
 * @throws StoreError as the adapter's own opening.
 */
export async function openStore(
  settings: StoreSettings,
  ports: { readonly random: Random },
): Promise<ObjectStore> {
  return openFileStore({ root: settings.root, random: ports.random });
}
