import { serveArchiver } from '@tidemark/archiver';
import { instanceTarget, loadConfig } from '../config/load.ts';
import { retentionRules } from './expire-rules.ts';
import type { Invocation } from '../context.ts';

/** Runs the archiver in the foreground until SIGTERM or Ctrl-C. */
export async function serve(
  options: { readonly takeOver: boolean },
  invocation: Invocation,
): Promise<void> {
  const config = await loadConfig(invocation.configPath);
  const instances = await Promise.all(
    config.instances.map((entry) => instanceTarget(entry, config.path)),
  );
  const { store, keys, stateDir, spoolBytesMax, limits } = config;
  await serveArchiver(
    {
      store,
      keys,
      stateDir,
      spoolBytesMax,
      limits,
      instances,
      takeOver: options.takeOver,
      retention: config.expires ? retentionRules(config) : null,
      findInstance: async (id) => {
        const now = await loadConfig(invocation.configPath);
        const entry = now.instances.find((known) => known.id === id);
        return entry === undefined ? null : instanceTarget(entry, now.path);
      },
    },
    invocation.signal,
  );
}
