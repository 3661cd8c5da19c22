import type { RestoreEnvironment, RestoreProgress } from '@tidemark/restorer';
import { restoreEnvironment as environmentOf, type Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes } from '../output/table.ts';
import { vanishingText } from './vanishing-text.ts';

/**
 * What the restorer runs on, from the workspace of a command.
 * Its `original` is null: a command that writes into a server of the user's choice sets it.
 * @param show - How progress is told; default: phase, bytes and percent.
 */
export function restoreEnvironment(
  workspace: Workspace,
  { printer, signal }: Invocation,
  show: (progress: RestoreProgress) => string = bytesText,
): RestoreEnvironment {
  return environmentOf(workspace, {
    signal,
    onProgress: (progress) => printer.progress(show(progress)),
    onVanishing: (vanishing) => {
      for (const line of vanishingText(vanishing, 'go at the promotion', null)) printer.warn(line);
    },
  });
}

function bytesText({ phase, bytes, bytesTotal }: RestoreProgress): string {
  const percent = bytesTotal > 0 ? Math.min(100, Math.floor((bytes / bytesTotal) * 100)) : 0;
  return `${phase}: ${formatBytes(bytes)} (${percent.toString()} %)`;
}
