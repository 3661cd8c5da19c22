import { clearDataHandler, type ClearParts } from '../data/clear-data.ts';
import { purgeExpiredHandler } from '../data/purge-expired.ts';
import type { LocalJobDesk } from '../jobs/job-desk.ts';
import { namelessHandler, privateHandler } from '../jobs/private-handler.ts';
import { rebuildHandler, type RebuildParts } from '../recycle/rebuild-handler.ts';
import { cloneHandler } from './clone-handler.ts';

/** Tells the desk who makes clones, rebuilds, and works on the data of nodes. */
export function useCloneHandlers(desk: LocalJobDesk, parts: RebuildParts & ClearParts): void {
  const { workspace, random } = parts;
  for (const make of [cloneHandler, rebuildHandler]) {
    desk.use(privateHandler(make(parts), { keys: workspace.keys, random }));
  }
  for (const make of [clearDataHandler, purgeExpiredHandler]) {
    desk.use(namelessHandler(make(parts)));
  }
}
