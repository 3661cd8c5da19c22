import {
  processFeeder,
  type RestoreEnvironment,
  type RestoreProgress,
  type Vanishing,
} from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from './workspace.ts';

/** Who calls a restore off, and who is told of it. */
export interface RestoreNotes {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreProgress) => void;
  readonly onVanishing: (vanishing: Vanishing) => void;
}

/**
 * What the restorer runs on, from the workspace of a host.
 * Its `original` is null: who writes into a server of somebody's choice sets it.
 */
export function restoreEnvironment(
  { store, keys, catalog, config }: Workspace,
  notes: RestoreNotes,
): RestoreEnvironment {
  return {
    store,
    keys,
    catalog,
    clock: systemClock,
    random: systemRandom,
    stateDir: config.stateDir,
    original: null,
    openFeeder: processFeeder({
      store: config.store,
      keys: config.keys,
      keysOf: (instance) => keys.directory.of(instance),
    }),
    ...notes,
  };
}
