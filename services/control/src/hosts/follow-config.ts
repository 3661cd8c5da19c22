import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@tidemark/archiver';
import { TidemarkError } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';

/** How often the file is looked at, in milliseconds. */
const LOOK_MS = 2_000;

/**
 * Keeps the instances of a process those of its configuration file: when that was changed, and at once
 * upon SIGHUP. A file that is wrong is told of, and changes nothing.
 */
export async function followConfig(
  { workspace, logger }: { readonly workspace: Workspace; readonly logger: Logger },
  signal: AbortSignal,
): Promise<void> {
  let told = '';
  let asked = new AbortController();
  const ask = (): void => asked.abort();
  process.on('SIGHUP', ask);
  try {
    while (!signal.aborted) {
      const isAsked = asked.signal.aborted;
      if (isAsked) asked = new AbortController();
      try {
        if (await workspace.reload(isAsked)) {
          const instances = workspace.config.instances.length;
          logger.info('config-reloaded', { instances });
        }
        told = '';
      } catch (cause) {
        if (!(cause instanceof TidemarkError)) throw cause;
        const { code, message } = cause;
        if (message !== told) logger.error('config-refused', { code, error: message });
        told = message;
      }
      const woken = AbortSignal.any([signal, asked.signal]);
      await pause(LOOK_MS, undefined, { signal: woken }).catch(() => undefined);
    }
  } finally {
    process.off('SIGHUP', ask);
  }
}
