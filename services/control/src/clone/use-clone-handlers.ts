import { clearDataHandler, type ClearParts } from '../data/clear-data.ts';
import { purgeExpiredHandler } from '../data/purge-expired.ts';
import type { LocalJobDesk } from '../jobs/job-desk.ts';
import { privateHandler } from '../jobs/private-handler.ts';
import { rebuildHandler, type RebuildParts } from '../recycle/rebuild-handler.ts';
import { cloneHandler } from './clone-handler.ts';

/** Tells the desk who makes clones, rebuilds, and works on the data of nodes. */
export function useCloneHandlers(desk: LocalJobDesk, parts: RebuildParts & ClearParts): void {
  const { workspace, random } = parts;
  desk.use(privateHandler(cloneHandler(parts), { keys: workspace.keys, random }));
  desk.use(rebuildHandler(parts));
  desk.use(clearDataHandler(parts));
  desk.use(purgeExpiredHandler(parts));
}
