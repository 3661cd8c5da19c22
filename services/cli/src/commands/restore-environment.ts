import { processFeeder, type RestoreEnvironment, type RestoreProgress } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Invocation, Workspace } from '../context.ts';
import { formatBytes } from '../output/table.ts';
import { vanishingText } from './vanishing-text.ts';

/**
 * What the restorer runs on, from the workspace of a command.
 * Its `original` is null: a command that writes into a server of the user's choice sets it.
 * @param show - How progress is told; default: phase, bytes and percent.
 */
export function restoreEnvironment(
  { store, keys, catalog, config }: Workspace,
  { printer, signal }: Invocation,
  show: (progress: RestoreProgress) => string = bytesText,
): RestoreEnvironment {
  return {
    store,
    keys,
    catalog,
    clock: systemClock,
    random: systemRandom,
    stateDir: config.stateDir,
    original: null,
    signal,
    openFeeder: processFeeder({
      store: config.store,
      keys: config.keys,
      keysOf: (instance) => keys.directory.of(instance),
    }),
    onProgress: (progress) => printer.progress(show(progress)),
    onVanishing: (vanishing) => {
      for (const line of vanishingText(vanishing, 'go at the promotion', null)) printer.warn(line);
    },
  };
}

function bytesText({ phase, bytes, bytesTotal }: RestoreProgress): string {
  const percent = bytesTotal > 0 ? Math.min(100, Math.floor((bytes / bytesTotal) * 100)) : 0;
  return `${phase}: ${formatBytes(bytes)} (${percent.toString()} %)`;
}
