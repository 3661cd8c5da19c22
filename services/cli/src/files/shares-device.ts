import { statSync } from 'node:fs';
import type { StoreSettings } from '@tidemark/store';

/** Whether a folder lies on the device of a store: who gets one gets both. Never for a service. */
export function sharesDevice(folder: string, store: StoreSettings): boolean {
  return store.kind === 'file' && statSync(folder).dev === statSync(store.root).dev;
}
